import type { Finding } from '@backhaul/protocol';
import type { BucketCapabilities, BucketError } from '../domain/ports/bucket.ts';
import type { S3Settings, Wish } from './s3-settings.ts';

/** Why the store is not asked for something; null where it is, or nothing was wanted. */
export interface Shortfalls {
  readonly encryption: string | null;
  readonly storageClass: string | null;
  /** Of the best checksum that `S3_CHECKSUM` allows. */
  readonly checksum: string | null;
  readonly partProof: string | null;
  readonly emptyObject: string | null;
}

/** A probe's result in words, for the start's log and `/doctor`. */
export function describeCapabilities(
  capabilities: BucketCapabilities,
  { settings, shortfalls }: { settings: S3Settings; shortfalls: Shortfalls },
): Finding[] {
  return [
    checksumFinding(capabilities, settings, shortfalls.checksum),
    {
      name: 's3_metadata',
      level: 'ok',
      detail: 'The store keeps the metadata by which the server knows its own objects.',
      fix: null,
    },
    resumeFinding(capabilities, shortfalls.partProof),
    emptyObjectFinding(shortfalls.emptyObject),
    {
      name: 's3_conditional_complete',
      level: capabilities.conditionalComplete ? 'ok' : 'info',
      detail: capabilities.conditionalComplete
        ? 'The store refuses to complete an upload over an existing object.'
        : 'The store ignores If-None-Match; keys are unique to each upload, so nothing is overwritten.',
      fix: null,
    },
    {
      name: 's3_object_size_check',
      level: capabilities.objectSizeCheck ? 'ok' : 'info',
      detail: capabilities.objectSizeCheck
        ? 'The store checks the size of the whole object.'
        : "The store ignores the size given at Complete; the object's length is compared afterwards.",
      fix: null,
    },
    wishFinding('s3_encryption', 'S3_SSE', {
      wish: settings.sse,
      honoured: capabilities.serverSideEncryption,
      shortfall: shortfalls.encryption,
    }),
    wishFinding('s3_storage_class', 'S3_STORAGE_CLASS', {
      wish: settings.storageClass,
      honoured: capabilities.storageClass,
      shortfall: shortfalls.storageClass,
    }),
  ];
}

function resumeFinding({ partProof }: BucketCapabilities, shortfall: string | null): Finding {
  const name = 's3_resume';
  switch (partProof) {
    case 'checksum':
      return {
        name,
        level: 'ok',
        detail:
          'After a restart of the agent, parts that the store lists with their checksum are not sent again.',
        fix: null,
      };
    case 'etag':
      return {
        name,
        level: 'ok',
        detail:
          'After a restart of the agent, parts that the store lists with the ETag which the agent reported are not sent again; the last few, which it had not reported yet, are.',
        fix: null,
      };
    case 'none':
      return {
        name,
        level: 'warning',
        detail: `After a restart of the agent every part of a file is sent again: ${shortfall ?? 'the store does not show which parts it holds.'}`,
        fix: 'Allow s3:ListMultipartUploadParts under S3_KEY_PREFIX, or use a store whose ListParts shows each part with the ETag that its PUT was answered with. Until then, do not restart agents during long uploads; a lost connection alone costs nothing.',
      };
    default:
      return partProof satisfies never;
  }
}

function emptyObjectFinding(shortfall: string | null): Finding {
  const name = 's3_empty_object';
  if (shortfall === null) {
    return { name, level: 'ok', detail: 'The store takes an object without bytes.', fix: null };
  }
  return {
    name,
    level: 'warning',
    detail: `The store does not take an object without bytes, so pulls of empty files fail: ${shortfall}`,
    fix: 'Use a store that takes empty objects, or do not pull empty files.',
  };
}

function checksumFinding(
  capabilities: BucketCapabilities,
  { checksum }: S3Settings,
  shortfall: string | null,
): Finding {
  const name = 's3_checksum';
  switch (capabilities.checksumMode) {
    case 'crc32':
      return {
        name,
        level: 'ok',
        detail: capabilities.fullObjectChecksum
          ? 'The store enforces a CRC32 for each part and keeps one of the whole object.'
          : 'The store enforces a CRC32 for each part, but keeps none of the whole object.',
        fix: null,
      };
    case 'sha256':
      return { name, level: 'ok', detail: 'The store enforces a SHA-256 for each part.', fix: null };
    case 'md5':
      return {
        name,
        level: checksum === 'auto' ? 'info' : 'ok',
        detail:
          checksum === 'auto'
            ? `Parts carry Content-MD5, which the store enforces; CRC32 it does not: ${shortfall ?? 'it was not tried.'}`
            : 'The store enforces Content-MD5 for each part.',
        fix: null,
      };
    case 'none':
      return {
        name,
        level: 'warning',
        detail: 'Parts carry no checksum; only the size of the object is compared.',
        fix:
          checksum === 'auto'
            ? 'Use a store that enforces x-amz-checksum-crc32 or Content-MD5.'
            : 'Set S3_CHECKSUM=auto.',
      };
    default:
      return capabilities.checksumMode satisfies never;
  }
}

function wishFinding(
  name: string,
  setting: string,
  { wish, honoured, shortfall }: { wish: Wish; honoured: string | null; shortfall: string | null },
): Finding {
  if (wish.wanted === null) {
    return {
      name,
      level: 'info',
      detail: `${setting} asks for nothing; the bucket's default holds.`,
      fix: null,
    };
  }
  if (honoured !== null) return { name, level: 'ok', detail: `New objects get ${honoured}.`, fix: null };
  return {
    name,
    level: name === 's3_encryption' ? 'warning' : 'info',
    detail: `${wish.wanted} is not asked for: ${shortfall ?? 'the store does not honour it'}.`,
    fix:
      name === 's3_encryption'
        ? `Encrypt below the store, or set ${setting} to what the store offers.`
        : null,
  };
}

export function cleanupFinding(failure: unknown): Finding {
  const name = 's3_probe_cleanup';
  if (failure === undefined)
    return { name, level: 'ok', detail: 'The probe left nothing behind.', fix: null };
  return {
    name,
    level: 'warning',
    detail: `The probe could not remove all it wrote under .backhaul-probe/: ${failure instanceof Error ? failure.message : 'unknown fault'}`,
    fix: 'Allow s3:DeleteObject, s3:DeleteObjectVersion and s3:AbortMultipartUpload under S3_KEY_PREFIX, or expire .backhaul-probe/ by a lifecycle rule.',
  };
}

/** The store, which took a trial upload before, refuses one now. */
export function trialFinding({ message }: BucketError): Finding {
  return { name: 's3_trial', level: 'error', detail: `A trial upload fails now: ${message}`, fix: null };
}

/** What the server relies on since its start, and the store has changed since. */
export function changeFindings(reliedOn: BucketCapabilities, found: BucketCapabilities): Finding[] {
  const names = Object.keys(found) as (keyof BucketCapabilities)[];
  const changed = names.filter((name) => found[name] !== reliedOn[name]);
  if (changed.length === 0) return [];
  return [
    {
      name: 's3_changed',
      level: 'warning',
      detail: `The store is not as it was when the server started, which it still goes by: ${changed.join(', ')}.`,
      fix: 'Restart the server.',
    },
  ];
}
