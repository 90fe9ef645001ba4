{{/* How a service starts, shows that it works, and ends. */}}

{{/* Started: the process answers at all (the retriever first opens its segments, and rebuilds what is missing from SQLite; NeuronCores are loaded
with every bucket: 15 minutes). Ready: it can do its work. Live: it is not stuck. */}}
{{- define "warmstart.service.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: {{ ternary 900 120 (or (eq (include "warmstart.service.of" .) "retriever") (eq (include "warmstart.neuron" .) "yes")) }}
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 3
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* The retriever publishes after its last request what is left, and waits 10 seconds for storage at most. */}}
{{- define "warmstart.grace" -}}
{{ add .root.Values.drain.delaySeconds .root.Values.drain.timeoutSeconds (ternary 30 10 (eq (include "warmstart.service.of" .) "retriever")) }}
{{- end }}
