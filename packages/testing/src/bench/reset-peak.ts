import { writeFile } from 'node:fs/promises';

/** From here on `peakRssBytes` of this process is the peak since now (Linux's `clear_refs`, proc_pid_clear_refs(5)). */
export async function resetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}
