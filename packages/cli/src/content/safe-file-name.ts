import type { NamedContent } from './destination.ts';

/** Most file systems take 255 bytes; the rest is left for what users append. */
const MAX_BYTES = 200;

/** Device names that Windows finds in every directory, whatever the ending. */
const windowsDevices = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

/**
 * A name that stays inside its directory on every system: the name comes from another machine. What cannot be
 * kept becomes `_`; if nothing is left, the upload_id is the name.
 */
export function safeFileName({ file_name, upload_id }: NamedContent): string {
  const base = file_name.split(/[/\\]/).at(-1) ?? '';
  const name = base
    // oxlint-disable-next-line no-control-regex -- they are what this is about
    .replaceAll(/[\u0000-\u001f\u007f-\u009f<>:"|?*\u2028-\u202e\u2066-\u2069]/g, '_')
    .replace(/^\.+/, '_')
    .replace(/[. ]+$/, '');
  if (name === '' || name === '_') return upload_id;
  return shorten(windowsDevices.test(name) ? `_${name}` : name);
}

function shorten(name: string): string {
  // A character cut in two decodes to the replacement character.
  return Buffer.from(name)
    .subarray(0, MAX_BYTES)
    .toString()
    .replace(/\ufffd+$/, '');
}
