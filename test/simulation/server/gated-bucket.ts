import type { Bucket } from '../../../packages/server/src/domain/ports/bucket.ts';
import type { CrashGate } from './crash-gate.ts';
import type { SimulatedS3 } from '../object-store/simulated-s3.ts';
import type { InvariantChecker } from '../invariant-checker.ts';

/** The object store as seen by one server process. */
export function gatedBucket(s3: SimulatedS3, gate: CrashGate, checker: InvariantChecker): Bucket {
  return {
    name: s3.name,
    capabilities: () => s3.capabilities(),
    createMultipartUpload: (request) => gate.request(() => s3.createMultipartUpload(request)),
    signParts: (upload, parts) => gate.request(() => s3.signParts(upload, parts)),
    async listParts(upload) {
      const listed = await gate.request(() => s3.listParts(upload));
      checker.onListing(upload, listed, (partNumber) => s3.urls.signedFor(upload.s3UploadId, partNumber));
      return listed;
    },
    completeMultipartUpload: (upload, request) =>
      gate.request(() => s3.completeMultipartUpload(upload, request)),
    putEmptyObject: (request) => gate.request(() => s3.putEmptyObject(request)),
    async *listMultipartUploads(keyPrefix) {
      for await (const pending of s3.listMultipartUploads(keyPrefix)) {
        yield await gate.request(async () => pending);
      }
    },
    abortMultipartUpload: (upload) => gate.request(() => s3.abortMultipartUpload(upload)),
    head: (key) => gate.request(() => s3.head(key)),
    deleteObject: (key) => gate.request(() => s3.deleteObject(key)),
    signGet: (request) => gate.request(() => s3.signGet(request)),
    ping: () => gate.request(() => s3.ping()),
  };
}
