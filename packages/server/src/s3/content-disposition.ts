import { savedFileName } from '@backhaul/protocol';
import { encodeRfc3986 } from './bucket-address.ts';

/**
 * `Content-Disposition` for saving under this name (RFC 6266): an ASCII form for old clients, and the exact name. For
 * any input, a browser saves a plain file name, never a path.
 */
export function attachment(fileName: string): string {
  const name = savedFileName(fileName);
  const ascii = name.replaceAll(/[^\x20-\x7e]|["\\%]/g, '_');
  return `attachment; filename="${ascii}"; filename*=UTF-8''${encodeRfc3986(name)}`;
}
