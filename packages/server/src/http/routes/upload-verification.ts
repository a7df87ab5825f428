import { objectVerificationSchema } from '@backhaul/protocol';
import { problems, uploadParams, withToken } from '../schemas.ts';
import type { Routes } from '../services.ts';

/** `GET /uploads/{upload_id}/verification` */
export const uploadVerification: Routes = (services) => (app, _options, done) => {
  app.get(
    '/uploads/:upload_id/verification',
    {
      config: { scope: 'read', audit: 'upload.verify' },
      schema: {
        operationId: 'verifyUpload',
        summary: 'Compare the stored object with the record',
        description:
          'Asks the object store what it has of the object now (HEAD), and compares: in a bucket that keeps versions ' +
          'the recorded version, even if the key no longer shows it. No bytes are read: what the store says of them ' +
          'is believed.',
        tags: ['uploads'],
        security: withToken,
        params: uploadParams,
        response: { 200: objectVerificationSchema, ...problems },
      },
    },
    async (request, reply) => {
      const report = await services.verifier.verify(request.params.upload_id, request.operator, {
        from: services.addresses.of(request.raw),
      });
      // True for the moment only.
      void reply.header('cache-control', 'no-store');
      return {
        upload_id: report.uploadId,
        verdict: report.verdict,
        verification: report.verification,
        checks: report.checks,
        key_state: report.keyState,
        checked_at: new Date(report.checkedAt).toISOString(),
      };
    },
  );
  done();
};
