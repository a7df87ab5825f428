import { randomUUID } from 'node:crypto';
import { type Finding, S3_MIN_PART_BYTES } from '@backhaul/protocol';
import {
  type BucketCapabilities,
  BucketError,
  type CallOptions,
  TRIAL_FOLDER,
} from '../../domain/ports/bucket.ts';
import { abortUpload, createUpload } from '../object-calls.ts';
import { type BucketAddress, type SigningWindow, signPartUrl } from '../presigned-url.ts';
import type { S3Connection } from '../s3-connection.ts';
import { keysUnder } from '../s3-settings.ts';
import { putOnce, RefusedPut, trialBody } from './trial-part.ts';

interface Addresses {
  /** The address that the server itself calls. */
  readonly own: BucketAddress;
  /** The address that agents use. */
  readonly public: BucketAddress;
}

/**
 * Sends a part of full size as agents do, to the store's own address and to its public one: proxies in front of a
 * store may treat 5 MiB from outside differently from the small requests of the probe. Problems are returned as
 * findings, never thrown.
 *
 * @throws BucketError when the trial upload cannot be created, although one was created a moment ago.
 */
export async function tryFullPart(
  connection: S3Connection,
  {
    addresses,
    capabilities,
    window,
  }: { addresses: Addresses; capabilities: BucketCapabilities; window: SigningWindow },
  options: CallOptions = {},
): Promise<Finding[]> {
  const { keyPrefix } = connection.settings;
  const { fullPartMs } = connection.timing;
  const key = `${keysUnder(keyPrefix)}${TRIAL_FOLDER}/${randomUUID()}/full-part`;
  const request = { key, token: `probe-${randomUUID()}`, traits: capabilities };
  const upload = await createUpload(connection, request, options);
  const { bytes, checksums } = trialBody(S3_MIN_PART_BYTES);
  const part = { partNumber: 1, sizeBytes: bytes.length, ...checksums };
  const { checksumMode: mode } = capabilities;
  const send = async (address: BucketAddress): Promise<Outcome> => {
    const presigned = signPartUrl(address, window, { upload, part, mode });
    const late = AbortSignal.timeout(fullPartMs);
    const signal = options.signal === undefined ? late : AbortSignal.any([options.signal, late]);
    try {
      const etag = await putOnce(presigned, bytes, { signal, proxies: connection.settings.proxies });
      return etag === '' ? { kind: 'no_etag' } : { kind: 'ok' };
    } catch (error) {
      options.signal?.throwIfAborted();
      return late.aborted ? { kind: 'late', afterMs: fullPartMs } : outcomeOf(error);
    }
  };
  try {
    const isSame = addresses.own.host === addresses.public.host;
    // Sequential, because they share the connection's bandwidth.
    const own = await send(addresses.own);
    const findings = [describe('s3_full_part', { address: addresses.own, outcome: own })];
    if (isSame) return findings;
    const outcome = await send(addresses.public);
    return [...findings, describe('s3_public_endpoint', { address: addresses.public, outcome, own })];
  } finally {
    // Leftovers are aborted by the sweeper.
    const late = AbortSignal.timeout(fullPartMs);
    await abortUpload(connection, upload, { signal: late }).catch((error: unknown) => {
      if (!late.aborted && !(error instanceof BucketError)) throw error;
    });
  }
}

type Outcome =
  | { readonly kind: 'ok' | 'no_etag' }
  | { readonly kind: 'late'; readonly afterMs: number }
  | { readonly kind: 'refused'; readonly status: number; readonly code: string }
  | { readonly kind: 'no_answer'; readonly errno: string };

function outcomeOf(error: unknown): Outcome {
  if (error instanceof RefusedPut) {
    return { kind: 'refused', status: error.$metadata.httpStatusCode, code: error.name };
  }
  const errno = error instanceof Error && 'code' in error ? String(error.code) : 'unknown fault';
  return { kind: 'no_answer', errno };
}

function describe(
  name: 's3_full_part' | 's3_public_endpoint',
  { address, outcome, own }: { address: BucketAddress; outcome: Outcome; own?: Outcome },
): Finding {
  const isPublic = name === 's3_public_endpoint';
  const host = hostAndPort(address);
  const setting = isPublic ? 'S3_PUBLIC_ENDPOINT' : 'S3_ENDPOINT';
  const finding = (level: Finding['level'], detail: string, fix: string | null = null): Finding => ({
    ...{ name, level, detail, fix },
  });
  switch (outcome.kind) {
    case 'ok':
      return finding('ok', `${host} accepts a part of 5 MiB by a presigned URL, as agents send them.`);
    case 'no_etag':
      return finding(
        'error',
        `${host} responds to the PUT of a part without an ETag, which agents need.`,
        `Configure the proxy at ${host} to pass on the ETag header.`,
      );
    case 'late':
      return finding(
        isPublic ? 'warning' : 'info',
        `A part of 5 MiB did not arrive at ${host} within ${outcome.afterMs / 1000} s, so the trial was stopped.`,
        isPublic ? `Check ${setting}, unless the server's connection is slow.` : null,
      );
    case 'no_answer':
      return finding(
        'warning',
        `${host} cannot be reached from the server (${outcome.errno}). Agents send their parts there.`,
        `Check ${setting}, and that the store or its proxy listens there. If only the server's network has no route to that address but the agents' networks do, nothing is wrong.`,
      );
    case 'refused':
      return finding('error', ...explainRefusal({ ...outcome, host, setting, own }));
    default:
      return outcome satisfies never;
  }
}

/** @returns detail and fix. */
function explainRefusal({
  status,
  code,
  host,
  setting,
  own,
}: {
  status: number;
  code: string;
  host: string;
  setting: string;
  own: Outcome | undefined;
}): [string, string] {
  const said = code === 'Unknown' ? `HTTP ${status}` : `HTTP ${status} ${code}`;
  if (status === 413) {
    return [
      `${host} refuses a part of 5 MiB as too large (${said}): a proxy in front of the store limits the request size.`,
      `Raise that limit at ${host} to the size of the largest part, at least 5 MiB (nginx: client_max_body_size 0).`,
    ];
  }
  if (code === 'SignatureDoesNotMatch' && own?.kind !== 'refused') {
    return [
      `${host} refuses the signature of a part (${said}) but S3_ENDPOINT accepts it: a proxy there changes the Host header, the path or signed headers.`,
      `Configure the proxy at ${host} to pass on Host (nginx: proxy_set_header Host $http_host), path and headers unchanged.`,
    ];
  }
  if (code === 'NoSuchUpload' || code === 'NoSuchBucket') {
    return [
      `${host} does not know the trial upload (${said}): it leads to another store or bucket than S3_ENDPOINT.`,
      `Set ${setting} to another address of the same store.`,
    ];
  }
  return [
    `${host} refuses a part of 5 MiB by a presigned URL (${said}).`,
    `Check ${setting}, and any proxy or firewall in front of the store there.`,
  ];
}

function hostAndPort({ host, protocol }: BucketAddress): string {
  return /:\d+$/.test(host) ? host : `${host}:${protocol === 'http:' ? 80 : 443}`;
}
