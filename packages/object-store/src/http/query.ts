import { S3Error } from '../errors.ts';
import type { RequestHeaders } from './headers.ts';
import type { RequestTarget } from './request-target.ts';

export type RequestQuery = ReadonlyMap<string, string>;

/** Refuses repeated parameters: signer and store could interpret them differently. */
export function singleQuery(target: RequestTarget): RequestQuery {
  const query = new Map<string, string>();
  for (const [name, value] of target.query) {
    if (query.has(name)) {
      throw new S3Error('InvalidArgument', `The query parameter "${name}" occurs more than once.`);
    }
    query.set(name, value);
  }
  return query;
}

const SIGNATURE_PARAMETER = /^X-Amz-(?:Algorithm|Credential|Date|Expires|SignedHeaders|Signature)$/;

/** Presigning SDKs move `x-amz-*` headers into the signed query; they are treated like headers. */
export function hoistQuery(
  headers: RequestHeaders,
  query: RequestQuery,
): { readonly headers: RequestHeaders; readonly query: RequestQuery } {
  const merged = new Map(headers);
  const kept = new Map<string, string>();
  for (const [name, value] of query) {
    const header = name.toLowerCase();
    if (!header.startsWith('x-amz-') || SIGNATURE_PARAMETER.test(name)) {
      kept.set(name, value);
      continue;
    }
    if (merged.has(header)) {
      throw new S3Error('InvalidArgument', `${header} is given both as a header and in the query.`);
    }
    // Headers cannot contain these characters, and the value may be returned as a header later.
    // oxlint-disable-next-line no-control-regex -- matches control characters on purpose
    if (!/^[a-z0-9-_.]+$/.test(header) || /[\u0000-\u001f\u007f]/.test(value)) {
      throw new S3Error('InvalidArgument', `The query parameter "${name}" cannot be used as a header.`);
    }
    merged.set(header, Buffer.from(value, 'utf8').toString('latin1'));
  }
  return { headers: merged, query: kept };
}
