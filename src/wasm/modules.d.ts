/** `NAME.wasm` is compiled from NAME.as.ts when the project is built (wasm.mjs). */
declare module '*.wasm' {
  const code: Uint8Array;
  export default code;
}

/** The little of it that is used: node's types leave it to those of browsers. */
declare namespace WebAssembly {
  class Module {
    constructor(code: Uint8Array);
  }
  class Instance {
    constructor(module: Module, imports?: object);
    readonly exports: object;
  }
  interface Memory {
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  }
}
