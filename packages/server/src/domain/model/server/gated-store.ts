import type { Store } from '../../ports/store.ts';
import type { CrashGate } from './crash-gate.ts';
import type { Witness } from '../witness.ts';

type Call = (...given: unknown[]) => Promise<unknown>;

/** The store as one process has it. The witness sees each row as soon as it is durable, before the process does. */
export function gatedStore(store: Store, gate: CrashGate, witness: Witness): Store {
  const witnessed: Partial<Store> = {
    async insertUpload(upload, audit, options) {
      const existing = await store.insertUpload(upload, audit, options);
      // One that was joined may have a new deadline.
      const row = existing ?? upload;
      if (row.version !== witness.rows.get(row.uploadId)?.version) witness.sawRow(row);
      return existing;
    },
    async saveUpload(upload, save) {
      const won = await store.saveUpload(upload, save);
      if (won) witness.sawRow(upload);
      return won;
    },
    async deleteUpload(uploadId, audit) {
      await store.deleteUpload(uploadId, audit);
      witness.sawRemoval(uploadId);
    },
    // In one statement, without a word about which: what changed is looked up.
    async closeSessionsOf(nodeId, options) {
      await store.closeSessionsOf(nodeId, options);
      for (const { uploadId, version } of witness.rows.values()) {
        const row = await store.getUpload(uploadId);
        if (row !== undefined && row.version !== version) witness.sawRow(row);
      }
    },
    async removeOlderThan(before, limit) {
      const removed = await store.removeOlderThan(before, limit);
      for (const uploadId of witness.rows.keys()) {
        if ((await store.getUpload(uploadId)) === undefined) witness.sawRemoval(uploadId);
      }
      return removed;
    },
  };
  return new Proxy(store, {
    get(_store, name: string) {
      const source: Partial<Store> = name in witnessed ? witnessed : store;
      const call = (Reflect.get(source, name) as Call).bind(source);
      const isRead = /^(?:get|list|find|count|last|next|oldest)/.test(name);
      return (...given: unknown[]) =>
        isRead ? gate.read(() => call(...given)) : gate.write(() => call(...given));
    },
  });
}
