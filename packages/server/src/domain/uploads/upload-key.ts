/**
 * `{prefix}/{client_id}/{upload_id}/{safe file name}`. Safe characters only: URL parsers would normalise a key with
 * `../` after signing, and stores disagree about escaping of others.
 */
export function uploadKey(location: {
  prefix: string;
  clientId: string;
  uploadId: string;
  fileName: string;
}): string {
  return [location.prefix, location.clientId, location.uploadId, keySegment(location.fileName)]
    .filter((segment) => segment !== '')
    .join('/');
}

/** Maximum length of the name; S3 allows keys of 1,024 bytes in all. */
const MAX_NAME_LENGTH = 128;

export function keySegment(fileName: string): string {
  const safe = fileName
    .normalize('NFKD')
    .replaceAll(/[^A-Za-z0-9._-]+/g, '_')
    // From the end, to preserve the extension.
    .slice(-MAX_NAME_LENGTH)
    // A segment of only dots would mean the parent or the current directory.
    .replace(/^\.+/, '_');
  return safe || 'file';
}
