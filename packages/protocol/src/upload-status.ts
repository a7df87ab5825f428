import { z } from 'zod';

/** Statuses in the order of an upload's life cycle. */
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
    '`queued` (accepted; agent disconnected or busy) → `preparing` → `uploading` → `completing` → `completed`. Also ends as `failed`, `cancelled` or `expired`.',
});
export type UploadStatus = z.infer<typeof uploadStatusSchema>;

const terminalStatuses = ['completed', 'failed', 'cancelled', 'expired'] as const satisfies UploadStatus[];
export type TerminalStatus = (typeof terminalStatuses)[number];

/** A terminal status is final, except that a failed, cancelled or expired upload can be retried as a new attempt. */
export function isTerminal(status: UploadStatus): status is TerminalStatus {
  return (terminalStatuses as readonly UploadStatus[]).includes(status);
}
