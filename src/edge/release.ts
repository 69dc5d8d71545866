// Memory of buffers that are done with. V8 frees it when it collects garbage, and that when tens of megabytes wait.
import { MessageChannel } from 'node:worker_threads';

const { port1: nowhere, port2 } = new MessageChannel();
port2.close();
nowhere.unref();

/** Less than this is not worth it. */
const LEAST = 4096;

/**
 * Frees the memory of buffers at once: it goes to a port that nobody listens to. They are empty afterwards. A part of a larger
 * buffer is left as it is, for others may have the rest.
 */
export function release(...buffers: Uint8Array[]): void {
  for (const { byteLength, buffer } of buffers)
    if (byteLength >= LEAST && byteLength === buffer.byteLength) nowhere.postMessage(null, [buffer as ArrayBuffer]);
}

/** Frees the memory that bytes stand in, of which nobody else has a part: zlib's are such. Node's small buffers share theirs. */
export function releaseAround({ buffer }: Uint8Array): void {
  if (buffer.byteLength > Buffer.poolSize) release(new Uint8Array(buffer));
}
