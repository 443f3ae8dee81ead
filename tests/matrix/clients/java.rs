//! The JVM and what is built with it.

use crate::client::{CLIENT, Client, works};

pub(crate) const URL_CONNECTION: Client = Client {
    name: "Java HttpURLConnection",
    version: "java -version 2>&1",
    serve: r"mkdir -p $SHARED/classes && cat > Connection.java <<'SCRIPT'
public class Connection {
    public static void main(String[] arguments) throws Exception {
        System.out.write(java.net.URI.create(arguments[0]).toURL().openStream().readAllBytes());
        System.out.flush();
    }
}
SCRIPT
javac -d $SHARED/classes Connection.java",
    fetch: "java -cp $SHARED/classes Connection https://$HOST/hello",
    expected: works("Unable to tunnel through proxy", "UnknownHostException", "response code: 403"),
    ..CLIENT
};

pub(crate) const HTTP_CLIENT: Client = Client {
    name: "Java HttpClient",
    version: "java -version 2>&1",
    serve: r#"mkdir -p $SHARED/classes && cat > Client.java <<'SCRIPT'
import java.net.http.*;
public class Client {
    public static void main(String[] arguments) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(java.net.URI.create(arguments[0])).build();
        HttpResponse<String> answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.print(answer.statusCode() + " " + answer.body());
        System.out.flush();
        System.exit(answer.statusCode() == 200 ? 0 : 1);
    }
}
SCRIPT
javac -d $SHARED/classes Client.java"#,
    fetch: "java -cp $SHARED/classes Client https://$HOST/hello",
    expected: works("403", "UnresolvedAddressException", "403 "),
    ..CLIENT
};
