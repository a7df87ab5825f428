import { open } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';

// This runs in the program under test before its own code: it delays each write to a file.
const WRITE_MS = 1;

await using handle = await open(process.execPath);
const prototype = Object.getPrototypeOf(handle) as {
  write: (this: unknown, ...given: unknown[]) => Promise<unknown>;
};
const { write } = prototype;
prototype.write = async function slowWrite(...given) {
  await pause(WRITE_MS);
  return await write.apply(this, given);
};
