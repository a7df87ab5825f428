export { startObjectStore, type ObjectStore, type ObjectStoreOptions } from './object-store.ts';
export { DataDirectoryInUse, ForeignDataDirectory } from './storage/data-directory.ts';
export { OPERATIONS, type OperationName } from './operations.ts';
export type { Operation, OperationContext, S3Response, S3Request } from './operations/operation.ts';
export { S3Error, type S3ErrorCode } from './errors.ts';
