// Writes YAML as Python's safe_dump does, and so as ooniprobe wrote its reports: collections of scalars in flow,
// others in block, lines folded after 80 columns, text that is not plain ASCII, or has lines with indentation, in double
// quotes with escapes.

const WIDTH = 80;

/** One framed document. A Set is `!!set`, a Buffer `!!binary`. */
export function document(value) {
  const writer = new Writer();
  writer.node(value, 0, 'root');
  return `---${writer.text}${writer.text.endsWith('\n') ? '' : '\n'}...\n`;
}

const isScalar = (value) => typeof value !== 'object' || value === null || Buffer.isBuffer(value);
const itemsOf = (value) => (value instanceof Set ? [...value] : Array.isArray(value) ? value : Object.values(value));
const isLeaf = (value) => itemsOf(value).every((item) => isScalar(item) && !Buffer.isBuffer(item));

class Writer {
  text = '';
  #column = 3;

  #put(text) {
    this.text += text;
    const line = text.lastIndexOf('\n');
    this.#column = line === -1 ? this.#column + text.length : text.length - line - 1;
  }

  #line(indent) {
    this.#put(`\n${' '.repeat(indent)}`);
  }

  /** @param where root, key (after a colon), or dash */
  node(value, indent, where) {
    const space = where === 'root' ? '\n' : ' ';
    if (Buffer.isBuffer(value)) {
      this.#put(' !!binary |');
      const base64 = value.toString('base64');
      const inner = indent + (where === 'dash' ? 0 : 2);
      for (let at = 0; at < base64.length; at += 76) {
        this.#line(inner);
        this.#put(base64.slice(at, at + 76));
      }
    } else if (isScalar(value)) {
      this.#put(' ');
      this.scalar(value, indent + 2, false);
    } else if (value instanceof Set) {
      this.#put(' !!set ');
      this.#flow(Object.fromEntries([...value].map((item) => [item, null])), indent + 2);
    } else if (isLeaf(value)) {
      this.#put(space);
      this.#flow(value, indent + 2);
    } else if (Array.isArray(value)) {
      value.forEach((item, i) => {
        if (i > 0 || where !== 'dash') this.#line(indent);
        this.#put(i === 0 && where === 'dash' ? ' -' : '-');
        this.node(item, indent + 2, 'dash');
      });
    } else {
      const inner = where === 'key' ? indent + 2 : indent;
      Object.keys(value)
        .sort()
        .forEach((key, i) => {
          if (i === 0 && where === 'dash') this.#put(' ');
          else this.#line(inner);
          this.scalar(key, 0, true);
          this.#put(':');
          this.node(value[key], inner, 'key');
        });
    }
  }

  #flow(value, indent) {
    const list = Array.isArray(value);
    this.#put(list ? '[' : '{');
    const keys = list ? value : Object.keys(value).sort();
    keys.forEach((key, i) => {
      if (i > 0) {
        this.#put(',');
        if (this.#column > WIDTH) this.#line(indent);
        else this.#put(' ');
      }
      this.scalar(key, indent, !list, true);
      if (list) return;
      this.#put(': ');
      this.scalar(value[key], indent, false, true);
    });
    this.#put(list ? ']' : '}');
  }

  scalar(value, indent, isKey, inFlow = false) {
    if (typeof value !== 'string') return this.#put(String(value));
    if (value === '') return this.#put("''");
    if (!isKey && isLines(value)) return this.#lines(value, indent);
    if (/[^\x20-\x7e]/.test(value)) return this.#double(value, indent, !isKey);
    if (isPlain(value, inFlow)) return this.#words(value, indent, !isKey);
    this.#put("'");
    this.#words(value.replaceAll("'", "''"), indent, !isKey);
    return this.#put("'");
  }

  /** Folds at single spaces within. */
  #words(text, indent, fold) {
    let from = 0;
    for (let at = text.indexOf(' '); fold && at !== -1; at = text.indexOf(' ', at + 1)) {
      if (this.#column + at - from <= WIDTH || at === 0 || text[at - 1] === ' ' || text[at + 1] === ' ') continue;
      if (at === text.length - 1) continue;
      this.#put(text.slice(from, at));
      this.#line(indent);
      from = at + 1;
    }
    this.#put(text.slice(from));
  }

  /** Of each line break two are written, or as many more as stand together. */
  #lines(text, indent) {
    this.#put("'");
    for (const part of text.replaceAll("'", "''").split(/(\n+)/)) {
      if (!part.startsWith('\n')) this.#words(part, indent, true);
      else {
        this.#put(part);
        this.#line(indent);
      }
    }
    this.#put("'");
  }

  #double(text, indent, fold) {
    this.#put('"');
    let line = '';
    for (let i = 0; i < text.length; i++) {
      const c = text[i];
      if (fold && c === ' ' && i > 0 && i < text.length - 1 && this.#column + line.length > WIDTH) {
        this.#put(`${line}\\`);
        this.#line(indent);
        line = '\\ ';
      } else line += escaped(c);
    }
    this.#put(`${line}"`);
  }
}

const ESCAPES = { '\0': '\\0', '\x07': '\\a', '\b': '\\b', '\t': '\\t', '\n': '\\n', '\v': '\\v', '\f': '\\f' };
Object.assign(ESCAPES, { '\r': '\\r', '\x1b': '\\e', '"': '\\"', '\\': '\\\\', '\x85': '\\N', '\xa0': '\\_' });
Object.assign(ESCAPES, { '\u2028': '\\L', '\u2029': '\\P' });

function escaped(c) {
  if (ESCAPES[c]) return ESCAPES[c];
  if (c >= ' ' && c <= '~') return c;
  const hex = c.charCodeAt(0).toString(16).toUpperCase();
  return hex.length <= 2 ? `\\x${hex.padStart(2, '0')}` : `\\u${hex.padStart(4, '0')}`;
}

/** Lines of plain ASCII, none of which begins or ends with a space: those need no escapes. */
function isLines(text) {
  return text.includes('\n') && !/[^\x20-\x7e\n]| \n|\n |^ | $/.test(text);
}

function isPlain(text, inFlow) {
  if (/^[\s?:,[\]{}#&*!|>'"%@`=-]|\s$|: |:$| #|^\.\.\.|^---/.test(text)) return false;
  if (/^(?:~|<<|=|null|true|false|yes|no|on|off)$/i.test(text) || /^[-+.]?\d|^\.(?:inf|nan)/i.test(text)) return false;
  return !inFlow || !/[,?[\]{}:]/.test(text);
}
