// CRC-32 of texts that were summed apart, as zlib's crc32_combine does it: a CRC is a polynomial over two elements,
// and text behind it multiplies it by a power of x.

const POLYNOMIAL = 0xedb88320;

/** Product of two polynomials modulo that of the CRC; bit 31 is x^0. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 0x80000000, factor = b; bit !== 0; bit >>>= 1) {
    if (a & bit) product ^= factor;
    factor = factor & 1 ? (factor >>> 1) ^ POLYNOMIAL : factor >>> 1;
  }
  return product >>> 0;
}

/** x^(2^n). */
const POWERS = [0x40000000];
for (let n = 1; n < 32; n++) POWERS.push(multiply(POWERS[n - 1]!, POWERS[n - 1]!));

/** x^(8·bytes). */
function shift(bytes: number): number {
  let power = 0x80000000;
  // The powers repeat themselves after 32, for the order of x divides 2^32 - 1.
  for (let rest = bytes, n = 3; rest > 0; rest = Math.floor(rest / 2), n++)
    if (rest % 2 === 1) power = multiply(POWERS[n % 32]!, power);
  return power;
}

/** CRC-32 of one text and another behind it. @param length of the second, bytes */
export function crc32Combine(first: number, second: number, length: number): number {
  return (multiply(shift(length), first) ^ second) >>> 0;
}
