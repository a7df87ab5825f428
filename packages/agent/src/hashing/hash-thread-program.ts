/**
 * What the thread runs. When the agent is made one file, this module is exchanged for one that has that program in it
 * (`scripts/bundle-program.ts`).
 */
export const hashThreadProgram = new URL('hash-thread-main.ts', import.meta.url);
