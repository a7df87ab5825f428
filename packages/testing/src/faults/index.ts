export * from './s3/index.ts';
export * from './seeded-random.ts';
