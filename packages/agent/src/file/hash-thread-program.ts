/**
 * Program of the hash threads. When the agent is bundled into one file, this module is replaced by one that contains the
 * program (`tools/bundle-program.ts`).
 */
export const hashThreadProgram = new URL('hash-thread.ts', import.meta.url);
