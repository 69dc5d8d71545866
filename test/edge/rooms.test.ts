// Buffers that are used again: never by two at a time.
import t from 'tap';
import { giveRoom, takeRoom } from '../../src/edge/rooms.ts';

t.test('what is lent is nobody else’s until it is given back', (t) => {
  let state = 7;
  const chance = () => (state = (state * 1103515245 + 12345) % 2 ** 31) / 2 ** 31;
  const held = new Map<Buffer, number>();
  let mark = 0;
  for (let n = 0; n < 1000; n++) {
    if (held.size < 40 && chance() < 0.6) {
      const length = Math.floor(2 ** (chance() * 22));
      const room = takeRoom(length);
      if (room.length !== length) t.equal(room.length, length);
      held.set(room.fill(++mark % 251), mark % 251);
    } else if (held.size > 0) {
      const [room, value] = [...held][Math.floor(chance() * held.size)]!;
      if (!room.every((byte) => byte === value)) t.fail(`${room.length} bytes were written to by another`);
      held.delete(room);
      giveRoom(chance() < 0.5 ? room : room.subarray(0, room.length >> 1));
      if (chance() < 0.3) giveRoom(Buffer.alloc(20_000)); // nobody lent it
    }
  }
  t.pass(`${mark} rooms`);
  t.end();
});

t.test('a room is used again, and given back once', (t) => {
  const one = takeRoom(100_000);
  giveRoom(one);
  giveRoom(one);
  const [two, three] = [takeRoom(90_000), takeRoom(90_000)];
  t.equal(two.buffer, one.buffer);
  t.not(three.buffer, two.buffer);
  t.end();
});
