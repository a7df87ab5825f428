import { type UploadLimits, uploadLimitsSchema } from '@backhaul/protocol';
import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { Client, ClientBlock, ClientDescription } from '../domain/agents/client.ts';
import type { AuditEvent, ClientFilter } from '../domain/ports/store.ts';
import { insertAudit } from './audit-queries.ts';
import { type Placeholders, PreparedQuery, type Queries } from './prepared-query.ts';
import type { ClientsTable, Schema, SessionsTable } from './schema.ts';
import { hasMember } from './sqlite-dialect.ts';

const upsert = new PreparedQuery<ClientsTable, unknown>((db, client) => {
  const { clientId: _known, firstSeenAt: _first, ...described } = client;
  return db
    .insertInto('clients')
    .values(client)
    .onConflict((conflict) => conflict.column('clientId').doUpdateSet(described));
});

export async function upsertClient(
  db: Queries,
  clientId: string,
  { description, at }: { description: ClientDescription; at: number },
): Promise<void> {
  const { agentVersion, platform, capabilities, labels, defaultFilePath } = description;
  const { os, arch, hostname } = platform;
  await upsert.run(db, {
    clientId,
    agentVersion,
    os,
    arch,
    hostname,
    defaultFilePath,
    capabilities: JSON.stringify(capabilities),
    labels: JSON.stringify(labels),
    firstSeenAt: at,
    lastSeenAt: at,
  });
}

const touch = new PreparedQuery((db, { clientId, at }: Placeholders<{ clientId: string; at: number }>) =>
  db
    .updateTable('clients')
    .set({ lastSeenAt: at })
    .where('clientId', '=', clientId)
    .where('lastSeenAt', '<', at),
);

export async function touchClient(db: Queries, clientId: string, at: number): Promise<void> {
  await touch.run(db, { clientId, at });
}

const selectById = new PreparedQuery((db, { clientId }: Placeholders<{ clientId: string }>) =>
  selectClientRows(db).where('clients.clientId', '=', clientId),
);

export async function selectClient(db: Queries, clientId: string): Promise<Client | undefined> {
  const row = await selectById.first(db, { clientId });
  return row && fromClientRow(row);
}

export async function selectClients(db: Queries, filter: ClientFilter): Promise<Client[]> {
  let query = selectClientRows(db);
  if (filter.connected !== undefined) {
    query = query.where('sessions.connectedSince', filter.connected ? 'is not' : 'is', null);
  }
  for (const { name, value } of filter.labels ?? []) {
    query = query.where(hasMember('clients.labels', name, value));
  }
  if (filter.after !== undefined) query = query.where('clients.clientId', '>', filter.after);
  const rows = await query.orderBy('clients.clientId').limit(filter.limit).execute();
  return rows.map(fromClientRow);
}

/** @returns whether the client exists. */
export async function updateClientLimits(
  db: Queries,
  clientId: string,
  { limits, audit }: { limits: UploadLimits | null; audit: AuditEvent },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('clients')
    .set({ limits: limits === null ? null : JSON.stringify(limits) })
    .where('clientId', '=', clientId)
    .executeTakeFirst();
  if (numUpdatedRows === 0n) return false;
  await insertAudit(db, audit);
  return true;
}

export async function deleteClient(db: Queries, clientId: string, audit: AuditEvent): Promise<void> {
  await db.deleteFrom('clients').where('clientId', '=', clientId).execute();
  await insertAudit(db, audit);
}

export async function blockClient(
  db: Queries,
  clientId: string,
  block: ClientBlock,
  audit: AuditEvent,
): Promise<void> {
  const { blockedAt, blockedBy, reason } = block;
  const row = { blockedAt, blockedBy, reason };
  await db
    .insertInto('blockedClients')
    .values({ clientId, ...row })
    .onConflict((conflict) => conflict.column('clientId').doUpdateSet(row))
    .execute();
  await insertAudit(db, audit);
}

export async function unblockClient(db: Queries, clientId: string, audit: AuditEvent): Promise<void> {
  await db.deleteFrom('blockedClients').where('clientId', '=', clientId).execute();
  await insertAudit(db, audit);
}

const blockById = new PreparedQuery((db, { clientId }: Placeholders<{ clientId: string }>) =>
  db
    .selectFrom('blockedClients')
    .select(['blockedAt', 'blockedBy', 'reason'])
    .where('clientId', '=', clientId),
);

export function selectBlock(db: Queries, clientId: string): Promise<ClientBlock | undefined> {
  return blockById.first(db, { clientId });
}

function selectClientRows(db: Queries) {
  return db
    .selectFrom('clients')
    .innerJoin('sessions', 'sessions.clientId', 'clients.clientId')
    .leftJoin('blockedClients', 'blockedClients.clientId', 'clients.clientId')
    .selectAll('clients')
    .select([
      'sessions.epoch',
      'sessions.connectedSince',
      'sessions.tokenExpiresAt',
      'sessions.remoteAddress',
    ])
    .select(['blockedClients.blockedAt', 'blockedClients.blockedBy', 'blockedClients.reason as blockReason'])
    .$castTo<ClientRow>();
}

const capabilitiesSchema = z.array(z.string());
const labelsSchema = z.record(z.string(), z.string());

type ClientRow = Selectable<Schema['clients']> &
  Pick<SessionsTable, 'epoch' | 'connectedSince' | 'tokenExpiresAt' | 'remoteAddress'> & {
    readonly blockedAt: number | null;
    readonly blockedBy: string | null;
    readonly blockReason: string | null;
  };

function fromClientRow(row: ClientRow): Client {
  const { os, arch, hostname, capabilities, labels, limits, blockedAt, blockedBy, blockReason, ...rest } =
    row;
  return {
    ...rest,
    block: blockedAt === null || blockedBy === null ? null : { blockedAt, blockedBy, reason: blockReason },
    platform: { os, arch, hostname },
    capabilities: capabilitiesSchema.parse(JSON.parse(capabilities)),
    labels: labelsSchema.parse(JSON.parse(labels)),
    limits: limits === null ? null : uploadLimitsSchema.parse(JSON.parse(limits)),
  };
}
