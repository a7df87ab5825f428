import type { UploadRecord, UploadStatus } from '@backhaul/protocol';
import type { Context } from './context.ts';
import type { Output } from './output.ts';
import { readableAge, readableBytes } from './readable.ts';
import { renderTable } from './table.ts';

export function uploadTable(uploads: readonly UploadRecord[], { output, now }: Context): string[] {
  return renderTable(uploads, [
    { title: 'UPLOAD', value: (record) => record.upload_id },
    { title: 'CLIENT', value: (record) => record.client_id },
    {
      title: 'STATUS',
      value: (record) => record.status,
      paint: (text, record) => paintStatus(output, record.status, text),
    },
    { title: 'DONE', align: 'right', value: describeDone },
    { title: 'SIZE', align: 'right', value: ({ size }) => (size === null ? '–' : readableBytes(size)) },
    { title: 'CREATED', align: 'right', value: (record) => readableAge(record.created_at, now()) },
    { title: 'FILE', value: describeFile },
  ]);
}

export function paintStatus(output: Output, status: UploadStatus, text: string): string {
  switch (status) {
    case 'completed':
      return output.paint('green', text);
    case 'failed':
    case 'expired':
      return output.paint('red', text);
    case 'cancelled':
      return output.paint('yellow', text);
    case 'queued':
    case 'preparing':
    case 'uploading':
    case 'completing':
      return output.paint('cyan', text);
    default:
      return status satisfies never;
  }
}

function describeDone({ status, size, bytes_uploaded: bytes }: UploadRecord): string {
  if (size === null || size === 0) return status === 'completed' ? '100%' : '–';
  return `${Math.floor((bytes / size) * 100)}%`;
}

function describeFile({ file_path, error }: UploadRecord): string {
  return error === null ? file_path : `${file_path} (${error})`;
}
