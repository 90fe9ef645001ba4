{{/* How a service starts, shows that it works, and ends. */}}

{{/* Started: the process answers at all (the retriever first rebuilds its index). Ready: it can do its work. Live: it is not stuck. */}}
{{- define "warmstart.service.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: {{ ternary 900 120 (eq .component "retriever") }}
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

{{- define "warmstart.grace" -}}
{{ add .Values.drain.delaySeconds .Values.drain.timeoutSeconds 10 }}
{{- end }}
