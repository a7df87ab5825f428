export * from './bucket-settings.ts';
export * from './empty-objects.ts';
export * from './poor-answers.ts';
export * from './reverse-proxies.ts';
export * from './store-behaviour.ts';
export * from './uploads-that-never-end.ts';
export * from './versioned-bucket.ts';
