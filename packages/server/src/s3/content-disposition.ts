import { savedFileName } from '@backhaul/protocol';
import { encodeRfc3986 } from './bucket-address.ts';

/**
 * `Content-Disposition` that saves under this name (RFC 6266): an ASCII form for old readers, and the name itself.
 * Whatever it is given, what a browser saves is a new entry of its own directory.
 */
export function attachment(fileName: string): string {
  const name = savedFileName(fileName);
  const ascii = name.replaceAll(/[^\x20-\x7e]|["\\%]/g, '_');
  return `attachment; filename="${ascii}"; filename*=UTF-8''${encodeRfc3986(name)}`;
}
