import { type SqlBool, sql } from 'kysely';
import type { Client, ClientDescription } from '../domain/clients/client.ts';
import type { AuditEvent, ClientFilter } from '../domain/ports/store.ts';
import { insertAudit } from './audit-queries.ts';
import { type ClientRow, fromClientRow } from './client-row.ts';
import type { Queries } from './queries.ts';

export async function upsertClient(
  db: Queries,
  clientId: string,
  { description, at }: { description: ClientDescription; at: number },
): Promise<void> {
  const { platform, capabilities, labels, ...rest } = description;
  const described = {
    ...rest,
    ...platform,
    capabilities: JSON.stringify(capabilities),
    labels: JSON.stringify(labels),
    lastSeenAt: at,
  };
  await db
    .insertInto('clients')
    .values({ clientId, firstSeenAt: at, ...described })
    .onConflict((conflict) => conflict.column('clientId').doUpdateSet(described))
    .execute();
}

export async function touchClient(db: Queries, clientId: string, at: number): Promise<void> {
  await db
    .updateTable('clients')
    .set({ lastSeenAt: at })
    .where('clientId', '=', clientId)
    .where('lastSeenAt', '<', at)
    .execute();
}

export async function selectClient(db: Queries, clientId: string): Promise<Client | undefined> {
  const row = await selectClientRows(db).where('clients.clientId', '=', clientId).executeTakeFirst();
  return row && fromClientRow(row);
}

export async function selectClients(db: Queries, filter: ClientFilter): Promise<Client[]> {
  let query = selectClientRows(db);
  if (filter.connected !== undefined) {
    query = query.where('sessions.connectedSince', filter.connected ? 'is not' : 'is', null);
  }
  if (filter.label !== undefined) {
    const { name, value } = filter.label;
    query = query.where(
      sql<SqlBool>`exists (select 1 from json_each(clients.labels) where key = ${name} and value = ${value})`,
    );
  }
  if (filter.after !== undefined) query = query.where('clients.clientId', '>', filter.after);
  const rows = await query.orderBy('clients.clientId').limit(filter.limit).execute();
  return rows.map(fromClientRow);
}

export async function deleteClient(db: Queries, clientId: string, audit: AuditEvent): Promise<void> {
  await db.deleteFrom('clients').where('clientId', '=', clientId).execute();
  await insertAudit(db, audit);
}

function selectClientRows(db: Queries) {
  return db
    .selectFrom('clients')
    .innerJoin('sessions', 'sessions.clientId', 'clients.clientId')
    .selectAll('clients')
    .select(['sessions.epoch', 'sessions.connectedSince'])
    .$castTo<ClientRow>();
}
