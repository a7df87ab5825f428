import { unprintable } from './printable.ts';

/** Device names, reserved by Windows in every directory and with any extension ("Naming Files, Paths, and Namespaces"). */
const device = String.raw`^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])`;
const deviceName = new RegExp(String.raw`${device}(?:\..*)?$`, 'i');
/** Stricter, for names that are chosen here: also with spaces before the extension. */
const almostDeviceName = new RegExp(String.raw`${device}\s*(?:\.|$)`, 'i');

/** Most file systems allow 255 bytes; the remainder is left for suffixes that users append. */
const MAX_BYTES = 240;

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
  return almostDeviceName.test(safe) ? `_${safe}` : safe || 'file';
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

/** A drive, or a server and share. */
const windowsRoot = /^(?:[a-z]:[\\/]|\\\\[^\\/]+[\\/]+[^\\/]+(?:[\\/]+|$))/i;

/** Returns why no file on Windows can have this path, or null. */
export function windowsPathProblem(path: string): string | null {
  const root = windowsRoot.exec(path)?.[0];
  if (root === undefined) return 'the path has no drive letter or share, such as in C:\\data\\report.bin';
  for (const name of path.slice(root.length).split(/[\\/]/)) {
    if (deviceName.test(name)) return `Windows reserves the name ${name}`;
    // "file.txt:stream" would read an alternate data stream of an allowed file.
    if (/[:*?"<>|]/.test(name)) return 'Windows names cannot contain : * ? " < > |';
    if (/[. ]$/.test(name) && name !== '.' && name !== '..') {
      return 'Windows drops a dot or space at the end of a name';
    }
  }
  return null;
}

/**
 * Returns why the agent cannot have a file with this path, as a sentence, or null. Can be checked while the agent is
 * disconnected.
 *
 * @param os Value of `process.platform`.
 */
export function pathProblem(path: string, os: string): string | null {
  if (os === 'win32') {
    const problem = windowsPathProblem(path);
    return problem === null ? null : `No file on a Windows machine has this path: ${problem}.`;
  }
  if (path.startsWith('/')) return null;
  const example = 'Use an absolute path, such as /data/report.bin.';
  if (path.startsWith('~')) return `Agents do not expand ~, which only shells do. ${example}`;
  if (windowsRoot.test(path)) return `This is a Windows path, but the machine runs ${os}. ${example}`;
  return `The path is relative, but agents have no base directory. ${example}`;
}
