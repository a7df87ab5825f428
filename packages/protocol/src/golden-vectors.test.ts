import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { z } from 'zod';
import {
  type ProblemKind,
  type Vector,
  type VectorSchemaName,
  readVectors,
} from '../vectors/read-vectors.ts';
import {
  agentMessageSchema,
  clientListSchema,
  clientStatusSchema,
  commands,
  decodeAgentMessage,
  decodeServerMessage,
  problemSchema,
  serverMessageSchema,
  triggerRequestSchema,
  uploadListSchema,
  uploadRecordSchema,
} from './index.ts';

const schemas: Record<VectorSchemaName, z.ZodType> = {
  'agent-message': agentMessageSchema,
  'server-message': serverMessageSchema,
  'trigger-request': triggerRequestSchema,
  'upload-record': uploadRecordSchema,
  'upload-list': uploadListSchema,
  'client-status': clientStatusSchema,
  'client-list': clientListSchema,
  problem: problemSchema,
  'health-report': commands.health_check.result,
  'directory-listing': commands.list_directory.result,
};

const vectors = await readVectors();

describe('golden vectors', () => {
  for (const vector of vectors) {
    test(`${vector.name}: ${vector.description}`, () => {
      if (vector.valid) {
        assert.deepEqual(read(vector), vector.expect);
        assert.deepEqual(
          schemas[vector.schema].parse(vector.expect),
          vector.expect,
          'a parsed value can be sent again',
        );
      } else {
        assert.deepEqual(problemOf(vector), vector.problem);
      }
    });
  }

  test('the codec agrees with every message vector, and names the field', () => {
    const decoders = { 'agent-message': decodeAgentMessage, 'server-message': decodeServerMessage } as const;
    let decoded = 0;
    for (const vector of vectors) {
      if (vector.schema !== 'agent-message' && vector.schema !== 'server-message') continue;
      decoded += 1;
      const outcome = decoders[vector.schema](vector.frame);
      assert.equal(outcome.ok, vector.valid, vector.name);
      if (outcome.ok) {
        assert.deepEqual(outcome.message, vector.valid && vector.expect, vector.name);
      } else if (!vector.valid) {
        assert.ok(
          outcome.problem.includes(vector.problem.field ?? 'not'),
          `${vector.name}: ${outcome.problem}`,
        );
      }
    }
    assert.ok(decoded > 100);
  });

  for (const [schema, union, discriminator] of [
    ['agent-message', agentMessageSchema, 'status'],
    ['server-message', serverMessageSchema, 'action'],
  ] as const) {
    test(`every ${schema} has a valid and an invalid vector`, () => {
      for (const name of union._zod.propValues[discriminator] ?? []) {
        const about = vectors.filter(
          (vector) =>
            vector.schema === schema && vector.frame.includes(`"${discriminator}":"${String(name)}"`),
        );
        assert.ok(
          about.some((vector) => vector.valid),
          `${String(name)} has no valid vector`,
        );
        assert.ok(
          about.some((vector) => !vector.valid && vector.problem.kind !== 'not_json'),
          `${String(name)} has no invalid vector`,
        );
      }
    });
  }

  test('every schema has a valid and an invalid vector', () => {
    for (const name of Object.keys(schemas)) {
      for (const valid of [true, false]) {
        assert.ok(
          vectors.some((vector) => vector.schema === name && vector.valid === valid),
          `${name}, valid: ${valid}`,
        );
      }
    }
  });
});

function read(vector: Vector): unknown {
  return schemas[vector.schema].parse(JSON.parse(vector.frame));
}

/** Returns the problem of a text in the format of the vectors. An invalid vector has exactly one wrong field. */
function problemOf(vector: Vector): { kind: ProblemKind; field: string | null } | undefined {
  let json: unknown;
  try {
    json = JSON.parse(vector.frame);
  } catch {
    return { kind: 'not_json', field: null };
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    return { kind: 'not_an_object', field: null };
  const { error } = schemas[vector.schema].safeParse(json, { reportInput: true });
  if (error === undefined) return undefined;
  const [issue, ...others] = error.issues;
  assert.ok(issue !== undefined);
  for (const other of others)
    assert.deepEqual(other.path, issue.path, 'a vector has exactly one field wrong');
  const field = issue.path.join('.');
  switch (issue.code) {
    case 'invalid_type':
      return { kind: issue.input === undefined ? 'missing_field' : 'wrong_type', field };
    case 'unrecognized_keys':
      return { kind: 'unknown_field', field: issue.keys.join(', ') };
    case 'invalid_union':
      return { kind: field === 'status' || field === 'action' ? 'unknown_message' : 'bad_value', field };
    default:
      return { kind: 'bad_value', field };
  }
}
