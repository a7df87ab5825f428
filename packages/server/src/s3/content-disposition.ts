import { encodeRfc3986 } from './bucket-address.ts';

const MAX_NAME_LENGTH = 200;

/**
 * `Content-Disposition` that saves under this name (RFC 6266): an ASCII form for old readers, and the name itself.
 * Directories, control characters, and characters that turn text around (they make `gpj.exe` look like `exe.jpg`)
 * do not get through.
 */
export function attachment(fileName: string): string {
  const name = safeName(fileName);
  const ascii = name.replaceAll(/[^\x20-\x7e]|["\\%]/g, '_');
  return `attachment; filename="${ascii}"; filename*=UTF-8''${encodeRfc3986(name)}`;
}

function safeName(fileName: string): string {
  const name = fileName
    .toWellFormed()
    .replaceAll(/[/\\]|\p{Cc}|\p{Cf}|\p{Zl}|\p{Zp}/gu, '_')
    .replace(/^\.+/, '_')
    .trim();
  return Array.from(name).slice(-MAX_NAME_LENGTH).join('') || 'file';
}
