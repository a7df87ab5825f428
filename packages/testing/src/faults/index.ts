export * from './discarding-store/discarding-store.ts';
export * from './forward-proxy.ts';
export * from './s3/index.ts';
export * from './seeded-random.ts';
export * from './stores/index.ts';
export * from './tcp/index.ts';
