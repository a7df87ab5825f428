import { unprintable } from './printable.ts';

/** Most file systems allow 255 bytes; the remainder is left for suffixes that users append. */
const MAX_BYTES = 240;

/** Device names, reserved by Windows in every directory and with any extension ("Naming Files, Paths, and Namespaces"). */
const windowsDevice = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(?:\.|$)/i;

/** Returns the last component of a path after resolving `.` and `..`. */
function lastComponent(filePath: string, separator: RegExp): string {
  const names: string[] = [];
  for (const segment of filePath.split(separator)) {
    if (segment === '..') names.pop();
    else if (segment !== '' && segment !== '.') names.push(segment);
  }
  return names.at(-1) ?? '';
}

/** Returns the last component of a POSIX or Windows path; the path itself if it has none. */
export function fileNameOf(filePath: string): string {
  return lastComponent(filePath, /[/\\]/) || filePath;
}

/**
 * Whether an agent's file name is that of the requested path. A backslash is part of a name on POSIX; a drive is not part
 * of a name on Windows (`C:report.txt`). Case and Unicode normalisation are ignored: macOS and Windows may return the
 * spelling of the directory entry.
 */
export function isNameOf(fileName: string, filePath: string): boolean {
  const key = (name: string): string => name.normalize('NFC').toLowerCase();
  const posix = lastComponent(filePath, /\//);
  const windows = lastComponent(filePath.replace(/^[a-z]:/i, ''), /[/\\]/);
  return [posix, windows].some((name) => name !== '' && key(name) === key(fileName));
}

/**
 * Returns a safe name for saving the file of a requested path: joined to a directory, it is an entry of that directory on
 * every system. It has no separator, control, direction or invisible character, no leading dot, no name reserved by
 * Windows (`nul.txt` becomes `_nul.txt`), at most 240 bytes, and keeps the extension. Invalid characters become `_`.
 */
export function savedFileName(filePath: string): string {
  const name = fileNameOf(filePath)
    .toWellFormed()
    .replaceAll(/[/\\<>:"|?*]/g, '_')
    .replaceAll(unprintable, '_')
    .trim()
    .replace(/^\.+/, '_');
  const safe = shorten(name).replace(/[. ]+$/, '');
  return windowsDevice.test(safe) ? `_${safe}` : safe || 'file';
}

/** Shortens the name between characters and before the extension. */
function shorten(name: string): string {
  if (byteLength(name) <= MAX_BYTES) return name;
  const extension = /\.[\w-]{1,16}$/.exec(name)?.[0] ?? '';
  let kept = '';
  let bytes = extension.length;
  for (const character of name.slice(0, name.length - extension.length)) {
    bytes += byteLength(character);
    if (bytes > MAX_BYTES) break;
    kept += character;
  }
  return kept + extension;
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
