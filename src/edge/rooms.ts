// Buffers that are used again. New memory costs a page fault for every 4 KB, which takes longer than to read a file into it or to
// copy a line there, and node's own buffers wait for the garbage collector.

const SMALLEST = 16 * 1024;
const LARGEST = 2 * 1024 * 1024;
/** Bytes that lie ready. */
const MOST = 8 * 1024 * 1024;

/** By size, a power of two. */
const free = new Map<number, Buffer[]>();
let ready = 0;
/** What was lent, by its memory; whoever never gives it back does no harm. */
const lent = new WeakMap<ArrayBufferLike, Buffer>();

/** A buffer of this length with anything in it. */
export function takeRoom(length: number): Buffer {
  if (length < SMALLEST / 2 || length > LARGEST) return Buffer.allocUnsafe(length);
  const size = Math.max(SMALLEST, 2 ** Math.ceil(Math.log2(length)));
  let room = free.get(size)?.pop();
  if (room) ready -= size;
  else room = Buffer.allocUnsafeSlow(size);
  lent.set(room.buffer, room);
  return length === size ? room : room.subarray(0, length);
}

/** Gives back a buffer that `takeRoom` gave, or a part of it: nobody may look at any of it from now on. Of others nothing is taken. */
export function giveRoom({ buffer }: Uint8Array): void {
  const room = lent.get(buffer);
  if (!room) return;
  lent.delete(buffer);
  if (ready + room.length > MOST) return;
  ready += room.length;
  const same = free.get(room.length);
  if (same) same.push(room);
  else free.set(room.length, [room]);
}
