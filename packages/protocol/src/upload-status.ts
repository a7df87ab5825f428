import { z } from 'zod';

/** In the order of a pull's life. */
export const uploadStatuses = [
  'queued',
  'preparing',
  'uploading',
  'completing',
  'completed',
  'failed',
  'cancelled',
  'expired',
] as const;

export const uploadStatusSchema = z.enum(uploadStatuses).meta({
  description:
    '`queued` (accepted; agent away or busy) → `preparing` → `uploading` → `completing` → `completed`. Also ends as `failed`, `cancelled` or `expired`.',
});
export type UploadStatus = z.infer<typeof uploadStatusSchema>;

const terminalStatuses = ['completed', 'failed', 'cancelled', 'expired'] as const satisfies UploadStatus[];
export type TerminalStatus = (typeof terminalStatuses)[number];

/** A terminal status is never left again; a retry is a new attempt of a failed, cancelled or expired upload. */
export function isTerminal(status: UploadStatus): status is TerminalStatus {
  return (terminalStatuses as readonly UploadStatus[]).includes(status);
}
