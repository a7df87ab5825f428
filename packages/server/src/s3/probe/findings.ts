import type { Finding } from '@backhaul/protocol';
import type { BucketCapabilities, BucketError } from '../../domain/ports/bucket.ts';
import type { Preference, S3Settings } from '../s3-settings.ts';

/** Reasons why a feature is not used; null if it is used or not wanted. */
export interface Shortfalls {
  readonly encryption: string | null;
  readonly storageClass: string | null;
  /** Refers to the best checksum that `S3_CHECKSUM` allows. */
  readonly checksum: string | null;
  readonly partProof: string | null;
  readonly emptyObject: string | null;
}

/** Describes a probe's result in sentences, for the log at the start and `/doctor`. */
export function describeCapabilities(
  capabilities: BucketCapabilities,
  { settings, shortfalls }: { settings: S3Settings; shortfalls: Shortfalls },
): Finding[] {
  return [
    checksumFinding(capabilities, settings, shortfalls.checksum),
    {
      name: 's3_metadata',
      level: 'ok',
      detail: 'The store preserves the metadata that identifies the server’s own objects.',
      fix: null,
    },
    resumeFinding(capabilities, shortfalls.partProof),
    emptyObjectFinding(shortfalls.emptyObject),
    {
      name: 's3_conditional_complete',
      level: capabilities.conditionalComplete ? 'ok' : 'info',
      detail: capabilities.conditionalComplete
        ? 'The store refuses to complete an upload over an existing object.'
        : 'The store ignores If-None-Match. Keys are unique per upload, so nothing is overwritten.',
      fix: null,
    },
    {
      name: 's3_object_size_check',
      level: capabilities.objectSizeCheck ? 'ok' : 'info',
      detail: capabilities.objectSizeCheck
        ? 'The store verifies the size of the whole object.'
        : "The store ignores the size sent with Complete; the server compares the object's length afterwards.",
      fix: null,
    },
    preferenceFinding('s3_encryption', 'S3_SSE', {
      preference: settings.sse,
      granted: capabilities.serverSideEncryption,
      shortfall: shortfalls.encryption,
    }),
    preferenceFinding('s3_storage_class', 'S3_STORAGE_CLASS', {
      preference: settings.storageClass,
      granted: capabilities.storageClass,
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
        detail: 'After an agent restart, parts that the store lists with their checksum are not re-sent.',
        fix: null,
      };
    case 'etag':
      return {
        name,
        level: 'ok',
        detail:
          'After an agent restart, parts that the store lists with the ETag reported by the agent are not re-sent; the last few, not yet reported, are.',
        fix: null,
      };
    case 'none':
      return {
        name,
        level: 'warning',
        detail: `After an agent restart, every part of a file is re-sent: ${shortfall ?? 'the store does not show which parts it has.'}`,
        fix: 'Allow s3:ListMultipartUploadParts under S3_KEY_PREFIX, or use a store whose ListParts shows each part with the ETag of its PUT response. Until then, do not restart agents during long uploads; a lost connection alone causes no re-sending.',
      };
    default:
      return partProof satisfies never;
  }
}

function emptyObjectFinding(shortfall: string | null): Finding {
  const name = 's3_empty_object';
  if (shortfall === null) {
    return { name, level: 'ok', detail: 'The store accepts empty objects.', fix: null };
  }
  return {
    name,
    level: 'warning',
    detail: `The store does not accept empty objects, so uploads of empty files fail: ${shortfall}`,
    fix: 'Use a store that accepts empty objects, or do not pull empty files.',
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
          ? 'The store enforces a CRC32 for each part and stores one of the whole object.'
          : 'The store enforces a CRC32 for each part but stores none of the whole object.',
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
            ? `Parts carry Content-MD5, which the store enforces; it does not enforce CRC32: ${shortfall ?? 'it was not tried.'}`
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

function preferenceFinding(
  name: string,
  setting: string,
  {
    preference,
    granted,
    shortfall,
  }: { preference: Preference; granted: string | null; shortfall: string | null },
): Finding {
  if (preference.wanted === null) {
    return {
      name,
      level: 'info',
      detail: `${setting} is not set; the bucket's default applies.`,
      fix: null,
    };
  }
  if (granted !== null) return { name, level: 'ok', detail: `New objects get ${granted}.`, fix: null };
  return {
    name,
    level: name === 's3_encryption' ? 'warning' : 'info',
    detail: `${preference.wanted} is not used: ${shortfall ?? 'the store does not support it'}.`,
    fix:
      name === 's3_encryption'
        ? `Encrypt the store's disks, or set ${setting} to a value the store supports.`
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
    detail: `The probe could not remove all objects it wrote under .backhaul-probe/: ${failure instanceof Error ? failure.message : 'unknown fault'}`,
    fix: 'Allow s3:DeleteObject, s3:DeleteObjectVersion and s3:AbortMultipartUpload under S3_KEY_PREFIX, or expire .backhaul-probe/ by a lifecycle rule.',
  };
}

/** Finding for a store that accepted a trial upload earlier and refuses one now. */
export function trialFinding({ message }: BucketError): Finding {
  return { name: 's3_trial', level: 'error', detail: `A trial upload fails now: ${message}`, fix: null };
}

/** Capabilities that the server has relied on since its start but that the store has changed since. */
export function changeFindings(reliedOn: BucketCapabilities, found: BucketCapabilities): Finding[] {
  const names = Object.keys(found) as (keyof BucketCapabilities)[];
  const changed = names.filter((name) => found[name] !== reliedOn[name]);
  if (changed.length === 0) return [];
  return [
    {
      name: 's3_changed',
      level: 'warning',
      detail: `The store's features have changed since the server started, and the server still relies on the old ones: ${changed.join(', ')}.`,
      fix: 'Restart the server.',
    },
  ];
}
