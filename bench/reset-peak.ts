import { writeFile } from 'node:fs/promises';

/** Resets `peakRssBytes` of this process (Linux's `clear_refs`, proc_pid_clear_refs(5)). */
export async function resetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}
