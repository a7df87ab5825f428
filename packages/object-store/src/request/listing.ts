import { S3Error } from '../errors.ts';
import { integerParameter } from '../operation.ts';
import type { XmlElements } from '../xml.ts';

type Query = ReadonlyMap<string, string>;

/** Returns names unchanged, or URL-encoded for clients that cannot represent them in XML. */
export type NameEncoder = (name: string) => string;

/** Form encoding with unescaped slashes, which SDKs decode. */
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

/** Returns the page size. Like S3, a page never has more than 1,000 entries. */
export function pageLimit(query: Query, name: string): number {
  return Math.min(1000, integerParameter(query, name, { min: 0, max: 2_147_483_647 }) ?? 1000);
}

export function commonPrefixes(names: readonly string[], encode: NameEncoder): XmlElements[] {
  return names.map((name) => ({ Prefix: encode(name) }));
}
