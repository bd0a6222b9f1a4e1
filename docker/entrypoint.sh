#!/bin/sh
# What Spark on Kubernetes calls: `driver ...` and `executor`; anything else is run as it is.
set -eu
case "${1:-}" in
driver)
    shift
    exec tini -s -- "$SPARK_HOME/bin/spark-submit" --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
        --deploy-mode client "$@"
    ;;
executor)
    set -- # Kubernetes passes everything in the environment
    n=0
    options=""
    while eval "value=\${SPARK_JAVA_OPT_$n-}" && [ -n "$value" ]; do
        options="$options $value"
        n=$((n + 1))
    done
    # shellcheck disable=SC2086
    exec tini -s -- java $options "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
        -cp "$SPARK_HOME/jars/*" org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
        --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
        --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
        --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
    ;;
*) exec tini -s -- "$@" ;;
esac
