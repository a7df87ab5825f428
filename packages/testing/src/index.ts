export * from './assert-problem.ts';
export * from './embedded-store.ts';
export * from './object-store.ts';
export * from './program.ts';
export * from './random-file.ts';
export * from './stage.ts';
export * from './temporary-directory.ts';
export * from './tokens.ts';
