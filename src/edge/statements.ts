import type Database from 'better-sqlite3';

/** Statements of a database by their text, each prepared when it is first asked for. */
export function statementsOf(db: Database.Database): (text: string) => Database.Statement {
  const prepared = new Map<string, Database.Statement>();
  return (text) => {
    let statement = prepared.get(text);
    if (!statement) prepared.set(text, (statement = db.prepare(text)));
    return statement;
  };
}
