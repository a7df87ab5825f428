import { S3Error } from '../errors.ts';
import type { RequestHeaders } from '../http/request-head.ts';
import type { ObjectProperties } from '../storage/stored-object.ts';

/** Storage classes of general-purpose buckets. In this store they are only labels without effect. */
export const STORAGE_CLASSES: readonly string[] = [
  'STANDARD',
  'REDUCED_REDUNDANCY',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER',
  'DEEP_ARCHIVE',
  'GLACIER_IR',
];

const CONTENT_HEADERS = [
  'content-type',
  'content-disposition',
  'content-encoding',
  'content-language',
  'cache-control',
  'expires',
];
const METADATA_PREFIX = 'x-amz-meta-';
const METADATA_LIMIT_BYTES = 2048;

export function requestedStorageClass(headers: RequestHeaders): string | undefined {
  const storageClass = headers.get('x-amz-storage-class');
  if (storageClass !== undefined && !STORAGE_CLASSES.includes(storageClass)) {
    throw new S3Error('InvalidStorageClass', undefined, { StorageClassRequested: storageClass });
  }
  return storageClass;
}

/** Allows only `private`, which is what every object is. */
export function checkAcl(headers: RequestHeaders): void {
  const acl = headers.get('x-amz-acl');
  if (acl !== undefined && acl !== 'private') {
    throw new S3Error('NotImplemented', `Access control lists are not implemented by this store ("${acl}").`);
  }
}

function contentHeader(headers: RequestHeaders, name: string): string | undefined {
  const value = headers.get(name);
  if (name !== 'content-encoding' || value === undefined) return value;
  // `aws-chunked` applies only to this request; S3 stores the remaining codings.
  const kept = value
    .split(',')
    .map((coding) => coding.trim())
    .filter((coding) => coding !== 'aws-chunked' && coding !== '');
  return kept.length === 0 ? undefined : kept.join(',');
}

export function requestedProperties(headers: RequestHeaders): ObjectProperties {
  checkAcl(headers);
  const contentHeaders: Record<string, string> = { 'content-type': 'binary/octet-stream' };
  for (const name of CONTENT_HEADERS) {
    const value = contentHeader(headers, name);
    if (value !== undefined && value !== '') contentHeaders[name] = value;
  }
  const metadata = [...headers]
    .filter(([name]) => name.startsWith(METADATA_PREFIX))
    .map(([name, value]) => [name.slice(METADATA_PREFIX.length), value] as const);
  const metadataBytes = metadata.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (metadataBytes > METADATA_LIMIT_BYTES) throw new S3Error('MetadataTooLarge');
  return {
    contentHeaders,
    userMetadata: Object.fromEntries(metadata),
    storageClass: requestedStorageClass(headers) ?? 'STANDARD',
  };
}

/** Response headers for the stored properties. */
export function propertyHeaders(properties: ObjectProperties): Record<string, string> {
  const headers: Record<string, string> = { ...properties.contentHeaders };
  for (const [name, value] of Object.entries(properties.userMetadata))
    headers[METADATA_PREFIX + name] = value;
  // S3 omits the header for STANDARD.
  if (properties.storageClass !== 'STANDARD') headers['x-amz-storage-class'] = properties.storageClass;
  return headers;
}
