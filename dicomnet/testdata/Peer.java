import com.pixelmed.dicom.SetOfDicomFiles;
import com.pixelmed.dicom.StoredFilePathStrategy;
import com.pixelmed.network.Association;
import com.pixelmed.network.AssociationFactory;
import com.pixelmed.network.MultipleInstanceTransferStatusHandler;
import com.pixelmed.network.PresentationContext;
import com.pixelmed.network.ReceivedObjectHandler;
import com.pixelmed.network.StorageSOPClassSCPDispatcher;
import com.pixelmed.network.StorageSOPClassSCU;
import com.pixelmed.network.VerificationSOPClassSCU;
import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.LinkedList;
import javax.net.ServerSocketFactory;
import javax.net.SocketFactory;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLServerSocketFactory;
import javax.net.ssl.SSLSocketFactory;

/**
 * A node in Java, by PixelMed's toolkit: Peer send PORT TLS FILE SOP-CLASS SOP-INSTANCE TRANSFER-SYNTAX does C-ECHO and C-STORE to LLAMAXR,
 * Peer take PORT TLS FOLDER receives until it is ended. The toolkit's own TLS ends at 1.0, so Java's is spoken around it, with the keys and
 * versions of the properties javax.net.ssl.* and jdk.tls.*.
 */
public class Peer {
    private static final InetAddress HERE = InetAddress.getLoopbackAddress();

    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[1]);
        boolean secure = Boolean.parseBoolean(args[2]);
        if (args[0].equals("take")) {
            if (secure) {
                SSLServerSocket outside = (SSLServerSocket) SSLServerSocketFactory.getDefault().createServerSocket(port, 5, HERE);
                outside.setNeedClientAuth(true);
                port = freePort();
                relay(outside, SocketFactory.getDefault(), port);
            }
            ReceivedObjectHandler handler = new ReceivedObjectHandler() {
                public void sendReceivedObjectIndication(String file, String transferSyntax, String callingAETitle) {}
            };
            new StorageSOPClassSCPDispatcher(port, "JAVA", new File(args[3]), StoredFilePathStrategy.BYSOPINSTANCEUIDINSINGLEFOLDER, handler, null, null, null, false)
                .run();
            return;
        }
        if (secure) {
            ServerSocket inside = ServerSocketFactory.getDefault().createServerSocket(0, 5, HERE);
            relay(inside, SSLSocketFactory.getDefault(), port);
            port = inside.getLocalPort();
        }
        new VerificationSOPClassSCU("127.0.0.1", port, "LLAMAXR", "JAVA", false);

        LinkedList<PresentationContext> contexts = new LinkedList<>();
        LinkedList<String> syntaxes = new LinkedList<>();
        syntaxes.add(args[6]);
        contexts.add(new PresentationContext((byte) 1, args[4], syntaxes));
        SetOfDicomFiles files = new SetOfDicomFiles();
        files.add(args[3], args[4], args[5], args[6]);
        boolean[] stored = {false};
        MultipleInstanceTransferStatusHandler handler = new MultipleInstanceTransferStatusHandler() {
            public void updateStatus(int remaining, int completed, int failed, int warning, String instance) {
                stored[0] = completed == 1 && failed == 0 && warning == 0;
            }
        };
        Association association = AssociationFactory.createNewAssociation("127.0.0.1", port, "LLAMAXR", "JAVA", contexts, null, false);
        new StorageSOPClassSCU(association, files, handler);
        if (!stored[0]) {
            System.err.println("not stored");
        }
        System.exit(stored[0] ? 0 : 1);
    }

    private static int freePort() throws IOException {
        try (ServerSocket any = new ServerSocket(0, 1, HERE)) {
            return any.getLocalPort();
        }
    }

    /** Hands on every connection that is taken to a port, made by out. */
    private static void relay(ServerSocket in, SocketFactory out, int port) {
        start(() -> {
            while (true) {
                Socket a = in.accept();
                start(() -> {
                    try (a; Socket b = out.createSocket(HERE, port)) { // refused while the toolkit is not ready: the caller tries again
                        start(() -> copy(b, a));
                        copy(a, b);
                    }
                });
            }
        });
    }

    private static void copy(Socket from, Socket to) throws IOException {
        try (from; to) {
            from.getInputStream().transferTo(to.getOutputStream());
        }
    }

    private interface Work {
        void run() throws IOException;
    }

    private static void start(Work work) {
        Thread t = new Thread(() -> {
            try {
                work.run();
            } catch (IOException e) { // the other half of a connection has closed it
                if (Boolean.getBoolean("verbose")) {
                    e.printStackTrace();
                }
            }
        });
        t.setDaemon(true);
        t.start();
    }
}
