// What every rule gets besides the record.

export interface RuleOptions {
  /** As pipeline v2 did it, where its way is offered. */
  compat?: boolean;
  /** Keep NUL in bodies and header values: such text becomes a base64 dict. */
  keepNul?: boolean;
}

/** One record's run through the rules. */
export class Run {
  readonly compat: boolean;
  readonly keepNul: boolean;
  /** The record was YAML: its base64 dicts are bytes that `cat` had to write as JSON. */
  readonly fromYaml: boolean;
  /** Names of rules that changed something, in order. */
  readonly fired: string[] = [];

  constructor({ compat = false, keepNul = false }: RuleOptions, fromYaml: boolean) {
    this.compat = compat;
    this.keepNul = keepNul;
    this.fromYaml = fromYaml;
  }

  fire(rule: string): void {
    if (!this.fired.includes(rule)) this.fired.push(rule);
  }
}
