/**
 * `{prefix}/{client_id}/{upload_id}/{safe file name}`. Made from safe characters only: a key with `../` would be
 * normalised by URL parsers after signing, and others need escaping that stores do not agree about.
 */
export function uploadKey(place: {
  prefix: string;
  clientId: string;
  uploadId: string;
  fileName: string;
}): string {
  return [place.prefix, place.clientId, place.uploadId, keySegment(place.fileName)]
    .filter((segment) => segment !== '')
    .join('/');
}

/** Longest name kept; S3 allows keys of 1,024 bytes in all. */
const MAX_NAME_LENGTH = 128;

export function keySegment(fileName: string): string {
  const safe = fileName
    .normalize('NFKD')
    .replaceAll(/[^A-Za-z0-9._-]+/g, '_')
    // From the end, so that the extension stays.
    .slice(-MAX_NAME_LENGTH)
    // A segment of dots alone would be a step up or nowhere.
    .replace(/^\.+/, '_');
  return safe || 'file';
}
