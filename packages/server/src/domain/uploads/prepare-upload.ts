import type { PrepareUpload, ResumeState, UploadLimits } from '@backhaul/protocol';
import { type UploadSettings, WINDOW_PARTS, planRule } from '../upload-settings.ts';
import type { KeptPart, Upload, UploadPart } from './upload.ts';

interface PrepareOptions {
  /** What S3 holds of an earlier attempt. */
  readonly kept: readonly KeptPart[];
  /** All parts on record. */
  readonly known: readonly UploadPart[];
  readonly settings: UploadSettings;
  /** Null for an agent that takes none. */
  readonly limits: UploadLimits | null;
}

/** The message that hands an upload over to its agent, to begin or to go on. */
export function prepareUpload(
  upload: Upload,
  { kept, known, settings, limits }: PrepareOptions,
): PrepareUpload {
  if (upload.checksumMode === null) throw new Error('an upload is handed over without a checksum mode');
  const resume = resumeState(upload, kept, known);
  return {
    action: 'prepare_upload',
    upload_id: upload.uploadId,
    attempt: upload.attempt,
    file_path: upload.filePath,
    plan: {
      min_chunk_size: planRule.minChunkSize,
      max_parts: planRule.maxParts,
      window_size: WINDOW_PARTS,
      ...(settings.maxFileSize === null ? {} : { max_file_size: settings.maxFileSize }),
    },
    checksum_mode: upload.checksumMode,
    on_change: upload.onChange,
    ...(limits === null ? {} : { limits }),
    ...(resume === undefined ? {} : { resume }),
    expires_in_ms: settings.prepareTimeoutMs,
  };
}

/** Undefined for an attempt that begins with nothing. */
function resumeState(
  { sizeBytes, fingerprint, s3UploadId, checksumMode }: Upload,
  kept: readonly KeptPart[],
  known: readonly UploadPart[],
): ResumeState | undefined {
  if (s3UploadId === null || sizeBytes === null || fingerprint === null) return undefined;
  const numbers = new Set(kept.map(({ partNumber }) => partNumber));
  return {
    size: sizeBytes,
    fingerprint,
    kept_parts: known
      .filter(({ partNumber }) => numbers.has(partNumber))
      .map(({ partNumber, crc32, sha256 }) => ({
        part_number: partNumber,
        crc32,
        // Only where it is what binds the part: ten thousand of them just fit into a frame.
        ...(checksumMode === 'sha256' && sha256 !== null ? { sha256 } : {}),
      })),
  };
}
