import { S3Error } from '../errors.ts';
import { integerParameter } from '../operation.ts';
import type { XmlElements } from '../xml.ts';

type Query = ReadonlyMap<string, string>;

/** Names are written as they are, or URL-encoded for clients whose XML can't hold them. */
export type NameEncoder = (name: string) => string;

/** As a form encodes, but with slashes left readable: what SDKs undo. */
function formEncode(name: string): string {
  return encodeURIComponent(name)
    .replaceAll(/[!'()]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%2F', '/')
    .replaceAll('%20', '+');
}

export function nameEncoder(query: Query): NameEncoder {
  const encoding = query.get('encoding-type');
  if (encoding === undefined) return (name) => name;
  if (encoding !== 'url')
    throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request');
  return formEncode;
}

/** A page's size: S3 never gives more than 1,000 entries, whatever is asked. */
export function pageLimit(query: Query, name: string): number {
  return Math.min(1000, integerParameter(query, name, { min: 0, max: 2_147_483_647 }) ?? 1000);
}

export function commonPrefixes(names: readonly string[], encode: NameEncoder): XmlElements[] {
  return names.map((name) => ({ Prefix: encode(name) }));
}
