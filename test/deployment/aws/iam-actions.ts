/** Scope of a permission: the ARN of a bucket, or those of its objects. */
export type Level = 'bucket' | 'object';

export interface IamAction {
  readonly action: string;
  readonly on: Level;
}

const put: IamAction = { action: 's3:PutObject', on: 'object' };
const get: IamAction = { action: 's3:GetObject', on: 'object' };
const getVersion: IamAction = { action: 's3:GetObjectVersion', on: 'object' };
const remove: IamAction = { action: 's3:DeleteObject', on: 'object' };
const removeVersion: IamAction = { action: 's3:DeleteObjectVersion', on: 'object' };
const abort: IamAction = { action: 's3:AbortMultipartUpload', on: 'object' };
const listParts: IamAction = { action: 's3:ListMultipartUploadParts', on: 'object' };
/** Also makes HEAD of a missing object return 404 instead of 403. */
const list: IamAction = { action: 's3:ListBucket', on: 'bucket' };
const onBucket = (action: string): IamAction => ({ action, on: 'bucket' });

/**
 * Permissions required by each call ("Required permissions for Amazon S3 API operations", Amazon S3 User Guide).
 * `(version)` marks a call that may name a version.
 */
export const iamActions: Readonly<Record<string, readonly IamAction[]>> = {
  CreateMultipartUpload: [put],
  UploadPart: [put],
  PutObject: [put],
  CompleteMultipartUpload: [put],
  AbortMultipartUpload: [abort],
  ListParts: [listParts],
  ListMultipartUploads: [onBucket('s3:ListBucketMultipartUploads')],
  ListObjectsV2: [list],
  HeadBucket: [list],
  'HeadObject (version)': [get, getVersion, list],
  'GetObject (version)': [get, getVersion],
  'DeleteObject (version)': [remove, removeVersion],
  CreateBucket: [onBucket('s3:CreateBucket')],
  GetBucketEncryption: [onBucket('s3:GetEncryptionConfiguration')],
  PutBucketEncryption: [onBucket('s3:PutEncryptionConfiguration')],
  DeleteBucketEncryption: [onBucket('s3:PutEncryptionConfiguration')],
  GetBucketVersioning: [onBucket('s3:GetBucketVersioning')],
  PutBucketVersioning: [onBucket('s3:PutBucketVersioning')],
  GetPublicAccessBlock: [onBucket('s3:GetBucketPublicAccessBlock')],
  PutPublicAccessBlock: [onBucket('s3:PutBucketPublicAccessBlock')],
  DeletePublicAccessBlock: [onBucket('s3:PutBucketPublicAccessBlock')],
  GetBucketLifecycleConfiguration: [onBucket('s3:GetLifecycleConfiguration')],
  PutBucketLifecycleConfiguration: [onBucket('s3:PutLifecycleConfiguration')],
  DeleteBucketLifecycle: [onBucket('s3:PutLifecycleConfiguration')],
};
