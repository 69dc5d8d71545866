// The language of `select --where`: comparisons of fields, joined by and, or, not. No regular expression is among them,
// for the text they would be tried on is the probe's, and one that nobody bounds can take years.
import { asnOf, type Cell, type Field, type Fields, fieldOf, Moment, textOfCell, USUAL_NAMES } from './fields.ts';
import { dayOrHour } from './moments.ts';
import { compactTest } from './names.ts';
import { distance, isKnownCountry, isKnownTest, nearCountries, nearTests } from './near.ts';
import { canonicalTest } from './testnames.ts';
import { ooniTime } from './times.ts';

/** Thrown for what is no expression; the message begins with the column, from 1. */
export class WhereError extends Error {
  readonly column: number;
  constructor(column: number, message: string) {
    super(`column ${column}: ${message}`);
    this.column = column;
  }
}

export interface Where {
  /** Those that it looks at. */
  fields: Field[];
  holds(fields: Fields): boolean;
}

type Test = (fields: Fields) => boolean;
type Compare = (cell: Exclude<Cell, null>) => boolean;

interface Token {
  kind: 'sign' | 'word' | 'text' | 'end';
  text: string;
  column: number;
}

const SIGNS = ['!=', '!~', '<=', '>=', '=', '<', '>', '~', '(', ')', ','] as const;
const OPERATORS = ['=', '!=', '<', '<=', '>', '>=', '~', '!~'];
const WORD = /[^\s()<>=!~,'"]+/y;
/** Doubled, a quote stands for itself. */
const TEXT = /'((?:[^']|'')*)'|"((?:[^"]|"")*)"/y;

/** Levels of parentheses and nots. */
const DEEPEST = 200;

function tokens(text: string): Token[] {
  const found: Token[] = [];
  for (let at = 0; at < text.length; ) {
    const column = at + 1;
    const sign = SIGNS.find((one) => text.startsWith(one, at));
    WORD.lastIndex = TEXT.lastIndex = at;
    if (/\s/.test(text[at]!)) at++;
    else if (sign !== undefined) {
      found.push({ kind: 'sign', text: sign, column });
      at += sign.length;
    } else if (text[at] === "'" || text[at] === '"') {
      const match = TEXT.exec(text);
      if (!match) throw new WhereError(column, `the text that begins here has no ${text[at]} at its end`);
      const quote = text[at]!;
      found.push({ kind: 'text', text: (match[1] ?? match[2])!.replaceAll(quote + quote, quote), column });
      at = TEXT.lastIndex;
    } else {
      const match = WORD.exec(text);
      if (!match) throw new WhereError(column, `'${text[at]}' alone is no operator: ${OPERATORS.join(' ')}`);
      found.push({ kind: 'word', text: match[0], column });
      at = WORD.lastIndex;
    }
  }
  found.push({ kind: 'end', text: '', column: text.length + 1 });
  return found;
}

/**
 * Reads an expression.
 * @param anyName takes countries, tests and fields that nobody knows
 * @throws WhereError
 */
export function parseWhere(text: string, anyName = false): Where {
  const parser = new Parser(tokens(text), anyName);
  const holds = parser.whole();
  return { fields: parser.fields, holds };
}

class Parser {
  readonly fields: Field[] = [];
  #tokens: Token[];
  #at = 0;
  #depth = 0;
  #anyName: boolean;

  constructor(tokens: Token[], anyName: boolean) {
    this.#tokens = tokens;
    this.#anyName = anyName;
  }

  whole(): Test {
    const test = this.#or();
    if (this.#next.kind !== 'end') this.#expected("'and', 'or' or the end");
    return test;
  }

  get #next(): Token {
    return this.#tokens[this.#at]!;
  }

  #expected(what: string, token = this.#next): never {
    const { kind, column } = token;
    const got = kind === 'end' ? 'the end' : kind === 'text' ? 'a text' : `'${token.text.slice(0, 40)}'`;
    throw new WhereError(column, `${what} was expected, not ${got}`);
  }

  /** Past the next token, where it is this sign or word. */
  #takes(text: string): boolean {
    const { kind, text: next } = this.#next;
    const is = kind === 'sign' ? next === text : kind === 'word' && next.toLowerCase() === text;
    if (is) this.#at++;
    return is;
  }

  #or(): Test {
    const tests = [this.#and()];
    while (this.#takes('or')) tests.push(this.#and());
    return tests.length === 1 ? tests[0]! : (fields) => tests.some((test) => test(fields));
  }

  #and(): Test {
    const tests = [this.#not()];
    while (this.#takes('and')) tests.push(this.#not());
    return tests.length === 1 ? tests[0]! : (fields) => tests.every((test) => test(fields));
  }

  #not(): Test {
    const { column } = this.#next;
    const negated = this.#takes('not');
    if (!negated && !this.#takes('(')) return this.#comparison();
    if (++this.#depth > DEEPEST) throw new WhereError(column, `nested deeper than ${DEEPEST} levels`);
    const test = negated ? this.#not() : this.#or();
    if (!negated && !this.#takes(')')) this.#expected("')'");
    this.#depth--;
    return negated ? (fields) => !test(fields) : test;
  }

  #comparison(): Test {
    const field = this.#field();
    if (this.#takes('in')) return this.#list(field, '=');
    if (this.#takes('not')) {
      if (!this.#takes('in')) this.#expected("'in'");
      return this.#list(field, '!=');
    }
    const { kind, text: operator } = this.#next;
    if (kind !== 'sign' || !OPERATORS.includes(operator))
      this.#expected(`an operator (${OPERATORS.join(' ')} in, not in)`);
    this.#at++;
    return this.#test(field, operator, this.#value());
  }

  /** One of a list equals, or none of it does. */
  #list(field: Field, operator: '=' | '!='): Test {
    if (!this.#takes('(')) this.#expected("'('");
    const tests: Test[] = [];
    do tests.push(this.#test(field, operator, this.#value()));
    while (this.#takes(','));
    if (!this.#takes(')')) this.#expected("',' or ')'");
    return operator === '='
      ? (fields) => tests.some((test) => test(fields))
      : (fields) => tests.every((test) => test(fields));
  }

  #field(): Field {
    const token = this.#next;
    if (token.kind !== 'word') this.#expected('a field');
    this.#at++;
    let field: Field;
    try {
      field = fieldOf(token.text);
    } catch (error) {
      throw new WhereError(token.column, (error as Error).message);
    }
    const near = USUAL_NAMES.filter((name) => !USUAL_NAMES.includes(token.text) && isNear(name, token.text));
    if (near.length > 0 && !this.#anyName) this.#unknown(token.column, `field '${token.text}'`, near);
    this.fields.push(field);
    return field;
  }

  #value(): Token {
    if (this.#next.kind !== 'word' && this.#next.kind !== 'text') this.#expected('a value');
    return this.#tokens[this.#at++]!;
  }

  #unknown(column: number, what: string, near: string[]): never {
    const which = near.length > 0 ? `; near: ${near.join(', ')}` : '';
    throw new WhereError(column, `no ${what} is known${which} (--any-name takes it as it is)`);
  }

  #test(field: Field, operator: string, value: Token): Test {
    if (value.kind === 'word' && value.text.toLowerCase() === 'null') {
      if (operator === '=') return (fields) => fields.cell(field) === null;
      if (operator === '!=') return (fields) => fields.cell(field) !== null;
      throw new WhereError(value.column, 'null can be compared with = and != alone');
    }
    const compare = operator.endsWith('~') ? like(value.text, operator === '~') : this.#compare(field, operator, value);
    return (fields) => {
      const cell = fields.cell(field);
      return cell !== null && compare(cell);
    };
  }

  #compare(field: Field, operator: string, value: Token): Compare {
    const { text, column } = value;
    const refuse = (what: string): never => {
      throw new WhereError(column, `${field.name} is compared with ${what}, not '${text.slice(0, 40)}'`);
    };
    const byText = (wanted: string) => ordered(operator, (cell) => compareTexts(textOfCell(cell), wanted));
    switch (field.form) {
      case 'cc': {
        if (!/^[A-Za-z]{2}$/.test(text)) refuse(`two letters${meant(nearCountries(text))}`);
        const code = text.toUpperCase();
        if (!this.#anyName && !isKnownCountry(code)) this.#unknown(column, `country '${text}'`, nearCountries(text));
        return byText(code);
      }
      case 'test': {
        const compact = compactTest(canonicalTest(text));
        if (!this.#anyName && !isKnownTest(compact)) this.#unknown(column, `test '${text}'`, nearTests(compact));
        return ordered(operator, (cell) => compareTexts(compactTest(textOfCell(cell)), compact));
      }
      case 'asn': {
        const wanted = Number((asnOf(text) ?? refuse('a number, as AS30722 or 30722')).json);
        return ordered(operator, (cell) => Number(textOfCell(cell)) - wanted);
      }
      case 'domain':
        return byText(text.toLowerCase());
      case 'version':
        return ordered(operator, (cell) => compareVersions(textOfCell(cell), text));
      case 'time': {
        const span =
          spanOf(text) ?? refuse('a day (2024-02-01), an hour (2024-02-01T10) or a time (2024-02-01T10:00:00)');
        const place = (time: number) => (time < span.from ? -1 : time >= span.to ? 1 : 0);
        return ordered(operator, (cell) => (cell instanceof Moment ? place(cell.time) : undefined));
      }
    }
    if (field.kind === 'float' && !isNumber(text)) refuse('a number');
    if (field.kind === 'bool' && !/^(?:true|false)$/i.test(text)) refuse('true or false');
    return ordered(operator, (cell) => compareWith(cell, value));
  }
}

function meant(near: string[]): string {
  return near.length > 0 ? ` (${near.join(', ')}?)` : '';
}

/** A slip of the finger. */
function isNear(known: string, given: string): boolean {
  return known.length > 1 && distance(known, given.toLowerCase()) <= (known.length < 6 ? 1 : 2);
}

/** @param compare negative, zero or positive; undefined where there is no order between the two */
function ordered(operator: string, compare: (cell: Exclude<Cell, null>) => number | undefined): Compare {
  switch (operator) {
    case '=':
      return (cell) => compare(cell) === 0;
    case '!=':
      return (cell) => compare(cell) !== 0;
    case '<':
      return (cell) => compare(cell)! < 0;
    case '<=':
      return (cell) => compare(cell)! <= 0;
    case '>':
      return (cell) => compare(cell)! > 0;
    default:
      return (cell) => compare(cell)! >= 0;
  }
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isNumber(text: string): boolean {
  return /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text);
}

/** A value of any kind with what was written: as numbers where both are, as texts where it is one. */
function compareWith(cell: Exclude<Cell, null>, { text, kind }: Token): number | undefined {
  if (typeof cell === 'string') return compareTexts(cell, text);
  if (typeof cell === 'boolean') return String(cell) === text.toLowerCase() ? 0 : undefined;
  if (cell instanceof Moment) return undefined;
  if (cell.json === text) return 0;
  if (!cell.isNumber || kind === 'text' || !isNumber(text)) return undefined;
  return Number(cell.json) - Number(text);
}

/** A day or an hour is all of it. */
function spanOf(text: string): { from: number; to: number } | undefined {
  const from = dayOrHour(text);
  if (from !== undefined) {
    const isHour = text.replace(/\D/g, '').length === 10;
    return { from, to: from + (isHour ? 3_600_000 : 86_400_000) };
  }
  const known = ooniTime(text);
  if (known === undefined) return undefined;
  const time = Date.parse(`${known.replace(' ', 'T')}Z`);
  return { from: time, to: time + 1000 };
}

/** Of what a probe says of its version, so much is compared. */
const LONGEST_VERSION = 200;

/** 3.9.2 comes before 3.10.0, and 3.10.0-beta.1 before 3.10.0. */
export function compareVersions(a: string, b: string): number {
  const [mine, theirs] = [a, b].map((text) => {
    const [, main = '', early] = /^([^-]*)(?:-(.*))?$/s.exec(text.slice(0, LONGEST_VERSION))!;
    return { main: main.split('.'), early: early?.split(/[.-]/) };
  });
  const order = compareParts(mine!.main, theirs!.main, '0');
  if (order !== 0) return order;
  if (!mine!.early || !theirs!.early) return Number(!mine!.early) - Number(!theirs!.early);
  return compareParts(mine!.early, theirs!.early, '');
}

function compareParts(a: string[], b: string[], missing: string): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [mine = missing, theirs = missing] = [a[i], b[i]];
    const numbers = /^\d+$/.test(mine) && /^\d+$/.test(theirs);
    const order = numbers ? compareDigits(mine, theirs) : compareTexts(mine, theirs);
    if (order !== 0) return order;
  }
  return 0;
}

function compareDigits(a: string, b: string): number {
  const [mine, theirs] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')];
  return mine.length - theirs.length || compareTexts(mine, theirs);
}

/** A pattern that the whole of a text must be like: `*` stands for any text, `?` for one character. */
function like(pattern: string, wanted: boolean): Compare {
  const matches = glob(pattern);
  return (cell) => matches(textOfCell(cell)) === wanted;
}

/** Takes time in the product of both lengths at worst. */
export function glob(pattern: string): (text: string) => boolean {
  const [first, ...others] = pattern.split('*');
  const last = others.pop();
  return (text) => {
    if (!standsAt(first!, text, 0)) return false;
    if (last === undefined) return text.length === first!.length;
    const end = text.length - last.length;
    let at = first!.length;
    for (const piece of others) {
      at = placeOf(piece, text, at);
      if (at === -1) return false;
      at += piece.length;
    }
    return at <= end && standsAt(last, text, end);
  };
}

function placeOf(piece: string, text: string, from: number): number {
  if (!piece.includes('?')) return text.indexOf(piece, from);
  for (let at = from; at + piece.length <= text.length; at++) if (standsAt(piece, text, at)) return at;
  return -1;
}

function standsAt(piece: string, text: string, at: number): boolean {
  if (!piece.includes('?')) return text.startsWith(piece, at);
  if (at + piece.length > text.length) return false;
  for (let i = 0; i < piece.length; i++) if (piece[i] !== '?' && piece[i] !== text[at + i]) return false;
  return true;
}
