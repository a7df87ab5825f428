/** Unreadable frames, one of each kind that costs a server far more than its sender. */
export function costlyFrames(): readonly { readonly what: string; readonly frame: string }[] {
  const labels = Object.fromEntries(Array.from({ length: 60_000 }, (_, index) => [` ${index}`, 'x']));
  const about = { upload_id: '019ab3c2-5f00-7000-8000-00000000dead', attempt: 1 };
  return [
    {
      what: '60,000 bad labels',
      frame: JSON.stringify({
        ...{ status: 'hello', agent_version: '1', platform: { os: 'linux', arch: 'x64' } },
        ...{ limits: { max_uploads: 1, parallel_parts: 1 }, labels },
      }),
    },
    {
      what: '10,000 wrong parts',
      frame: JSON.stringify({
        ...{ status: 'completed', ...about, file_name: 'a', size: 1, upload_duration_ms: 1 },
        parts: Array.from({ length: 10_000 }, () => ({ part_number: 'x', etag: 0 })),
      }),
    },
    { what: '1 MB of nested lists', frame: '['.repeat(1_000_000) },
    { what: 'small junk', frame: '{' },
  ];
}
