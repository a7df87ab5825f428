export { startObjectStore, type ObjectStore, type ObjectStoreOptions } from './object-store.ts';
export { DataDirectoryInUse } from './storage/data-directory-lock.ts';
export { ForeignDataDirectory } from './storage/data-directory-format.ts';
export { OPERATIONS } from './operations.ts';
export type { Operation, OperationContext, S3Response, S3Request } from './operation.ts';
export type { OperationName } from './routes.ts';
export { S3Error, type S3ErrorCode } from './errors.ts';
