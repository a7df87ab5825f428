import type { Store } from '../../../packages/server/src/domain/ports/store.ts';
import type { CrashGate } from './crash-gate.ts';
import type { InvariantChecker } from '../invariant-checker.ts';

type Call = (...given: unknown[]) => Promise<unknown>;

/**
 * The store as seen by one server process. The checker sees each row as soon as it is durable, before the process
 * does.
 */
export function gatedStore(store: Store, gate: CrashGate, checker: InvariantChecker): Store {
  const witnessed: Partial<Store> = {
    async insertUpload(upload, audit, options) {
      const existing = await store.insertUpload(upload, audit, options);
      // A joined upload may have a new deadline.
      const row = existing ?? upload;
      if (row.version !== checker.rows.get(row.uploadId)?.version) checker.onRow(row);
      return existing;
    },
    async saveUpload(upload, save) {
      const won = await store.saveUpload(upload, save);
      if (won) checker.onRow(upload);
      return won;
    },
    async deleteUpload(uploadId, audit) {
      await store.deleteUpload(uploadId, audit);
      checker.onRemoval(uploadId);
    },
    // One statement that does not report the changed rows, so they are looked up.
    async closeSessionsOf(nodeId, options) {
      await store.closeSessionsOf(nodeId, options);
      for (const { uploadId, version } of checker.rows.values()) {
        const row = await store.getUpload(uploadId);
        if (row !== undefined && row.version !== version) checker.onRow(row);
      }
    },
    async removeOlderThan(before, limit) {
      const removed = await store.removeOlderThan(before, limit);
      for (const uploadId of checker.rows.keys()) {
        if ((await store.getUpload(uploadId)) === undefined) checker.onRemoval(uploadId);
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
