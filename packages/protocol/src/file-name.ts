import { unprintable } from './printable.ts';

/** Most file systems take 255 bytes; the rest is left for what users append. */
const MAX_BYTES = 240;

/** Names of devices that Windows finds in every directory, whatever the extension ("Naming Files, Paths, and Namespaces"). */
const windowsDevice = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(?:\.|$)/i;

/** Last component of a path, `.` and `..` resolved. */
function lastComponent(filePath: string, separator: RegExp): string {
  const names: string[] = [];
  for (const segment of filePath.split(separator)) {
    if (segment === '..') names.pop();
    else if (segment !== '' && segment !== '.') names.push(segment);
  }
  return names.at(-1) ?? '';
}

/** Last component of a path, in POSIX or Windows spelling; the path itself if it has none. */
export function fileNameOf(filePath: string): string {
  return lastComponent(filePath, /[/\\]/) || filePath;
}

/**
 * Whether an agent's name for a file is that of the path it was asked for. A backslash is part of a name on POSIX, and a
 * drive is none of it on Windows (`C:report.txt`). Case and Unicode normalisation do not count: macOS and Windows may
 * answer in the spelling of their directory.
 */
export function isNameOf(fileName: string, filePath: string): boolean {
  const key = (name: string): string => name.normalize('NFC').toLowerCase();
  const posix = lastComponent(filePath, /\//);
  const windows = lastComponent(filePath.replace(/^[a-z]:/i, ''), /[/\\]/);
  return [posix, windows].some((name) => name !== '' && key(name) === key(fileName));
}

/**
 * The name to save a file under, made from the path that was asked for: joined to a directory, it is a new entry of that
 * directory on every system. No separator, control, direction or invisible character, no dot in front, nothing that Windows
 * reserves (`nul.txt` becomes `_nul.txt`), at most 240 bytes, the extension kept. What cannot stay becomes `_`.
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

/** Cuts between characters, in front of the extension. */
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
