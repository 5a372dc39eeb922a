async ([target, token]) => {
  const found = {};
  const attempt = async (name, work) => {
    try { found[name] = String(await work()); } catch (error) { found[name] = 'nothing'; }
  };
  const body = JSON.stringify({ command: 'pause' });
  const read = (path, more = {}) => fetch(target + path, more).then((r) => r.text());
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  await attempt('read', () => read('/api/page'));
  await attempt('read the page', () => read('/'));
  await attempt('read with the token', () => read('/api/page', { headers }));
  await attempt('post', () => read('/api/commands', { method: 'POST', body, headers }));
  await attempt('post as text', () => read('/api/commands', { method: 'POST', body, headers: { 'content-type': 'text/plain' } }));
  await attempt('post unseen', () => fetch(target + '/api/commands', { method: 'POST', body, mode: 'no-cors', credentials: 'include' }).then((r) => r.text()));
  await attempt('beacon', () => { navigator.sendBeacon(target + '/api/commands', body); return ''; });
  await attempt('stream', () => new Promise((done, failed) => {
    const stream = new EventSource(target + '/api/stream');
    stream.onmessage = (event) => done(event.data); stream.onerror = failed;
  }));
  await attempt('websocket', () => new Promise((done, failed) => {
    const opened = new WebSocket(target.replace('http', 'ws') + '/api/stream');
    opened.onopen = () => done('open'); opened.onerror = failed;
  }));
  await attempt('script', () => new Promise((done, failed) => {
    const script = document.createElement('script'); script.src = target + '/page.js';
    script.onload = () => done('loaded'); script.onerror = failed; document.head.append(script);
  }));
  await attempt('image', () => new Promise((done, failed) => {
    const image = new Image(); image.src = target + '/icon.svg';
    image.onload = () => done('loaded'); image.onerror = failed;
  }));
  await attempt('frame', () => new Promise((done) => {
    const frame = document.createElement('iframe'); frame.src = target + '/';
    frame.onload = () => { try { done(frame.contentDocument.body.innerHTML); } catch (e) { done(''); } };
    document.body.append(frame); setTimeout(() => done(''), 1000);
  }));
  await attempt('form', () => new Promise((done) => {
    const form = document.createElement('form'); form.method = 'POST'; form.enctype = 'text/plain';
    form.action = target + '/api/commands'; form.target = 'sink';
    const field = document.createElement('input'); field.name = '{"command":"pause","confirm":"'; field.value = '"}';
    const sink = document.createElement('iframe'); sink.name = 'sink';
    form.append(field); document.body.append(sink, form); form.submit(); setTimeout(() => done(''), 1000);
  }));
  return found;
}
